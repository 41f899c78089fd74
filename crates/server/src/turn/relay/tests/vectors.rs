//! RFC 5769: what others' messages look like, byte for byte.

use super::*;
use crate::turn::message::{attributes, parse};

/// §2.4: a request with long-term authentication, with a user name beyond ASCII.
const LONG_TERM: &str = "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b90000\
    0015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f72670000080014\
    f67024656dd64a3e02b8e0712e85c9a28ca89666";
/// §2.1: a request of ICE, with a fingerprint.
const ICE: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff\
    80290008932ff9b151263b36000600096576746a3a683676592020200008001\
    49aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn a_request_of_the_rfc_is_read_and_its_integrity_is_right() {
    let long_term = bytes(LONG_TERM);
    let message = parse(&long_term).unwrap();
    let read = attributes(&message, &long_term);
    assert_eq!(read.username, Some("\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}"));
    assert_eq!(read.nonce, Some(&b"f//499k954d6OL34oL9FSTvy64sA"[..]));
    assert!(read.realm && read.integrity && !read.malformed && read.unknown.is_empty());
    let key = |password: &str| {
        let credentials = LongTermCredentials::new(read.username.unwrap().to_owned(), password.to_owned());
        credentials.to_key("example.org".to_owned()).make_key(IntegrityAlgorithm::Sha1)
    };
    // After SASLprep.
    assert!(message.validate_integrity_with_key(&key("TheMatrIX")).is_ok());
    assert!(message.validate_integrity_with_key(&key("TheMatriX")).is_err());
}

#[test]
fn a_fingerprint_of_the_rfc_is_right_and_a_changed_one_wrong() {
    let mut ice = bytes(ICE);
    assert_eq!(ice.len(), 108);
    assert!(parse(&ice).is_some());
    // ICE's own attributes below 0x8000 mean nothing to a relay: PRIORITY.
    let message = parse(&ice).unwrap();
    assert_eq!(attributes(&message, &ice).unknown, [0x0024]);
    ice[30] ^= 1;
    assert!(parse(&ice).is_none());
}
