//! The `heart-beat` header and what two of them make together (STOMP 1.2, Heart-beating).

use std::fmt;
use std::time::Duration;

/// One side's offer: what it can do and what it would like, in milliseconds. Zero means not at all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct HeartBeat {
    /// The shortest time between two heart-beats that this side can guarantee to send.
    pub send_ms: u32,
    /// The time between heart-beats that this side would like to get.
    pub receive_ms: u32,
}

/// The header is not two whole numbers with a comma between them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the heart-beat header must be two whole numbers of milliseconds, for example 10000,10000")]
pub struct HeartBeatError;

impl HeartBeat {
    /// Blanks around a number are ignored; a number beyond 32 bits means that far in the future.
    pub fn parse(value: &str) -> Result<Self, HeartBeatError> {
        let (send, receive) = value.split_once(',').ok_or(HeartBeatError)?;
        Ok(Self { send_ms: milliseconds(send)?, receive_ms: milliseconds(receive)? })
    }

    /// How often this side must send to `peer`: the longer of the two times, or never if either says zero.
    pub fn sending_to(self, peer: Self) -> Option<Duration> {
        agree(self.send_ms, peer.receive_ms)
    }

    /// How often this side may expect something from `peer`.
    pub fn receiving_from(self, peer: Self) -> Option<Duration> {
        agree(peer.send_ms, self.receive_ms)
    }
}

impl fmt::Display for HeartBeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.send_ms, self.receive_ms)
    }
}

fn milliseconds(text: &str) -> Result<u32, HeartBeatError> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|it| it.is_ascii_digit()) {
        return Err(HeartBeatError);
    }
    Ok(text.parse().unwrap_or(u32::MAX))
}

fn agree(sends: u32, wants: u32) -> Option<Duration> {
    (sends > 0 && wants > 0).then(|| Duration::from_millis(u64::from(sends.max(wants))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ours: &str, theirs: &str, sending: Option<u64>, receiving: Option<u64>) {
        let (ours, theirs) = (HeartBeat::parse(ours).unwrap(), HeartBeat::parse(theirs).unwrap());
        assert_eq!(ours.sending_to(theirs), sending.map(Duration::from_millis));
        assert_eq!(ours.receiving_from(theirs), receiving.map(Duration::from_millis));
    }

    #[test]
    fn each_direction_takes_the_longer_time() {
        check("10000,10000", "5000,7000", Some(10_000), Some(10_000));
        check("1000,2000", "5000,7000", Some(7_000), Some(5_000));
    }

    #[test]
    fn zero_on_either_side_means_never() {
        check("0,10000", "5000,7000", None, Some(10_000));
        check("10000,0", "5000,7000", Some(10_000), None);
        check("10000,10000", "0,0", None, None);
    }

    #[test]
    fn what_is_not_two_numbers_is_refused() {
        for bad in ["", ",", "1", "1,", "1,2,3", "-1,2", "+1,2", "1.5,2", "a,b", "1;2"] {
            assert_eq!(HeartBeat::parse(bad), Err(HeartBeatError), "{bad}");
        }
        assert_eq!(HeartBeat::parse(" 1 , 2 "), Ok(HeartBeat { send_ms: 1, receive_ms: 2 }));
        assert_eq!(HeartBeat::parse("99999999999,0"), Ok(HeartBeat { send_ms: u32::MAX, receive_ms: 0 }));
    }
}
