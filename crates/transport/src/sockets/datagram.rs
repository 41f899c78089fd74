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

impl Dtls {
    /// Reads record after record, and stops at one that is cut short.
    fn of(mut rest: &[u8]) -> Self {
        let mut dtls = Self::default();
        let mut is_first = true;
        while let Some((header, after)) = rest.split_at_checked(RECORD_HEADER) {
            let [kind, _, _, epoch_high, epoch_low, .., length_high, length_low] = header else { break };
            let Some((body, next)) =
                after.split_at_checked(usize::from(u16::from_be_bytes([*length_high, *length_low])))
            else {
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
    pub(in super::super) fn record(kind: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
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
    fn what_is_cut_short_or_garbage_is_read_as_far_as_it_goes() {
        let whole = record(22, 1, &[1; 30]);
        for length in 1..whole.len() {
            assert_eq!(Datagram::of(&whole[..length]), Datagram::Dtls(Dtls::default()), "{length}");
        }
        for seed in 0..2_000_u32 {
            let bytes: Vec<u8> =
                (0..seed % 90).map(|i| (seed.wrapping_mul(2_654_435_761).rotate_left(i) >> 7) as u8).collect();
            let _ = Datagram::of(&bytes);
        }
    }
}
