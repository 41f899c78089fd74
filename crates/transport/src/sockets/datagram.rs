//! What can be seen of a datagram before anything is decrypted (RFC 7983 §7). Pure, and for whatever comes.

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Datagram {
    Stun,
    Dtls(Dtls),
    /// SRTP or SRTCP.
    Media,
    Other,
}

/// What the records of a DTLS datagram are, as far as they can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dtls {
    /// One of them belongs to a handshake.
    pub(super) is_handshake: bool,
    /// The first of them is a client's hello.
    pub(super) is_client_hello: bool,
    /// One of them is of a later epoch than the first: the handshake's last message, or what comes after it.
    pub(super) is_encrypted: bool,
}

/// RFC 6347 §4.1: type, version, epoch, sequence number, length.
const RECORD_HEADER: usize = 13;
/// RFC 8656 §18: what a relay is given to send, and what it gives.
const SEND_OR_DATA_INDICATION: [[u8; 2]; 2] = [[0x00, 0x16], [0x00, 0x17]];
const DATA: [u8; 2] = [0x00, 0x13];
const STUN_HEADER: usize = 20;

const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

impl Datagram {
    pub(super) fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(0..=3) => Self::Stun,
            Some(20..=63) => Self::Dtls(Dtls::of(datagram)),
            Some(128..=191) => Self::Media,
            Some(_) | None => Self::Other,
        }
    }
}

/// What a relay is to carry or has carried (RFC 8656 §11 and §12); a datagram of any other kind as it is.
pub(super) fn carried(datagram: &[u8]) -> &[u8] {
    match datagram {
        [0x40..=0x4f, _, high, low, rest @ ..] => rest.get(..length(*high, *low)).unwrap_or_default(),
        [high, low, ..] if SEND_OR_DATA_INDICATION.contains(&[*high, *low]) => {
            data(datagram.get(STUN_HEADER..).unwrap_or_default()).unwrap_or_default()
        }
        _ => datagram,
    }
}

/// The attribute that holds what is carried.
fn data(mut attributes: &[u8]) -> Option<&[u8]> {
    while let [kind_high, kind_low, high, low, rest @ ..] = attributes {
        let length = length(*high, *low);
        if [*kind_high, *kind_low] == DATA {
            return rest.get(..length);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn length(high: u8, low: u8) -> usize {
    u16::from_be_bytes([high, low]).into()
}

impl Dtls {
    /// Reads record after record, and stops at one that is cut short.
    fn of(mut rest: &[u8]) -> Self {
        let mut dtls = Self::default();
        let mut is_first = true;
        while let Some((header, after)) = rest.split_at_checked(RECORD_HEADER) {
            let [kind, _, _, epoch_high, epoch_low, .., length_high, length_low] = header else { break };
            let Some((body, next)) = after.split_at_checked(length(*length_high, *length_low)) else {
                break;
            };
            let is_encrypted = (*epoch_high, *epoch_low) != (0, 0);
            dtls.is_encrypted |= is_encrypted;
            dtls.is_handshake |= matches!(*kind, CHANGE_CIPHER_SPEC | HANDSHAKE);
            dtls.is_client_hello |=
                is_first && *kind == HANDSHAKE && !is_encrypted && body.first() == Some(&CLIENT_HELLO);
            is_first = false;
            rest = next;
        }
        dtls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record (RFC 6347 §4.1).
    fn record(kind: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 0xfe, 0xfd];
        record.extend(epoch.to_be_bytes());
        record.extend([0; 6]);
        record.extend((body.len() as u16).to_be_bytes());
        record.extend(body);
        record
    }

    #[test]
    fn a_datagram_is_told_by_its_first_byte_and_its_records() {
        let none = Dtls::default();
        let hello = Dtls { is_handshake: true, is_client_hello: true, is_encrypted: false };
        assert_eq!(Datagram::of(&record(22, 0, &[1, 0, 0])), Datagram::Dtls(hello));
        let last = [record(20, 0, &[1]), record(22, 1, &[9; 40])].concat();
        let finished = Dtls { is_handshake: true, is_client_hello: false, is_encrypted: true };
        assert_eq!(Datagram::of(&last), Datagram::Dtls(finished));
        let data = Dtls { is_encrypted: true, ..none };
        assert_eq!(Datagram::of(&record(23, 1, &[1, 2])), Datagram::Dtls(data));
        assert_eq!(Datagram::of(&record(21, 0, &[2, 40])), Datagram::Dtls(none));
        assert_eq!(Datagram::of(&[0, 1, 0, 0]), Datagram::Stun);
        assert_eq!(Datagram::of(&[0x80, 96]), Datagram::Media);
        assert_eq!(Datagram::of(&[0x40, 0]), Datagram::Other);
        assert_eq!(Datagram::of(&[]), Datagram::Other);
    }

    #[test]
    fn what_a_relay_carries_is_found_in_both_of_its_forms() {
        let inner = record(22, 0, &[1, 0, 0]);
        let size = (inner.len() as u16).to_be_bytes();
        let channel = [&[0x40, 0x00][..], &size, &inner, &[0; 3]].concat();
        assert_eq!(carried(&channel), inner);
        let peer = [0x00, 0x12, 0x00, 0x08, 0, 1, 2, 3, 4, 5, 6, 7];
        let indication = [&[0x00, 0x16][..], &[0; 18], &peer, &DATA, &size, &inner, &[0; 3]].concat();
        assert_eq!(carried(&indication), inner);
        for whole in [channel, indication] {
            for length in 2..whole.len() - 3 {
                assert_ne!(carried(&whole[..length]), inner, "{length}");
            }
        }
        assert_eq!(carried(&inner), inner);
        assert_eq!(carried(&[]), []);
    }

    #[test]
    fn what_is_cut_short_or_garbage_is_read_as_far_as_it_goes() {
        let whole = record(22, 1, &[1; 30]);
        for length in 1..whole.len() {
            assert_eq!(Datagram::of(&whole[..length]), Datagram::Dtls(Dtls::default()), "{length}");
        }
        for seed in 0..2_000_u32 {
            let bytes: Vec<u8> =
                (0..seed % 90).map(|i| (seed.wrapping_mul(2_654_435_761).rotate_left(i) >> 7) as u8).collect();
            let _ = Datagram::of(carried(&bytes));
        }
    }
}
