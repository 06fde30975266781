//! How long the messages are that pass between two processes, seen before timely makes room for them.
//!
//! timely puts a header of six big-endian numbers before each message, the fifth of which is its length in bytes, and believes
//! whatever it says.

use std::io;

use protocol::grpc::MESSAGE_BYTES_MAX;

/// The longest message: the longest command, which goes to all workers as one, has room in it.
const FRAME_BYTES_MAX: u64 = 2 * MESSAGE_BYTES_MAX as u64;

const HEADER_BYTES: usize = 48;
/// Where the length is in a header.
const LENGTH: std::ops::Range<usize> = 32..40;

/// Follows the bytes of one direction from message to message.
#[derive(Default)]
pub(super) struct Frames {
    /// The part of the next header that has come.
    header: Vec<u8>,
    /// Bytes of the present message that are still to come.
    rest: u64,
}

impl Frames {
    /// Passes the bytes that come next. Errors: they begin a message that is too long.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.rest > 0 {
                let of_message = usize::try_from(self.rest).map_or(bytes.len(), |rest| rest.min(bytes.len()));
                self.rest -= of_message as u64;
                bytes = &bytes[of_message..];
                continue;
            }
            let of_header = (HEADER_BYTES - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..of_header]);
            bytes = &bytes[of_header..];
            if self.header.len() == HEADER_BYTES {
                let length = self.header[LENGTH].try_into().expect("eight bytes");
                self.rest = u64::from_be_bytes(length);
                self.header.clear();
                if self.rest > FRAME_BYTES_MAX {
                    let message = format!("a message of {} bytes; the limit is {FRAME_BYTES_MAX}", self.rest);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use timely::communication::networking::MessageHeader;

    use super::*;

    /// As timely writes it.
    pub(in crate::mesh) fn header(length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = MessageHeader { channel: 1, source: 2, target_lower: 3, target_upper: 4, length, seqno: 5 };
        header.write_to(&mut bytes).expect("memory takes it");
        bytes
    }

    #[test]
    fn messages_pass_however_their_bytes_come() {
        let lengths = [0, 1, HEADER_BYTES, 1000, 0];
        let stream: Vec<u8> =
            lengths.iter().flat_map(|length| [header(*length), vec![0xff; *length]].concat()).collect();
        for step in [1, 7, HEADER_BYTES, 100, stream.len()] {
            let mut frames = Frames::default();
            stream.chunks(step).for_each(|bytes| frames.pass(bytes).expect("no message is too long"));
            assert!(frames.header.is_empty() && frames.rest == 0, "step {step}");
        }
        let mut frames = Frames::default();
        frames.pass(&header(FRAME_BYTES_MAX as usize)).expect("as long as can be");
        assert_eq!(frames.rest, FRAME_BYTES_MAX);
    }

    #[test]
    fn a_message_that_is_too_long_is_seen_by_its_header() {
        for length in [FRAME_BYTES_MAX as usize + 1, usize::MAX] {
            let mut frames = Frames::default();
            frames.pass(&[header(3), vec![7; 3]].concat()).expect("a short one");
            let long = header(length);
            frames.pass(&long[..HEADER_BYTES - 1]).expect("the header is not whole");
            let error = frames.pass(&long[HEADER_BYTES - 1..]).expect_err("it is too long");
            assert!(error.to_string().contains(&length.to_string()), "{error}");
        }
    }
}
