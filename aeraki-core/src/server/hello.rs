//! What a client asks for at the beginning of its handshake, in any version of TLS: RFC 8446 §4.1.2 and §5.1, which
//! read what clients of RFC 2246 write.

use aeraki_route::config::TransportProtocol;

use super::inspect::{Looked, MOST, Seen};

/// Finds the first message of a handshake, a `ClientHello`, in the records at the beginning of a connection.
#[derive(Debug, Default)]
pub(super) struct Hello {
    /// Where the records end that were looked at.
    end: usize,
    /// Bytes of the message that they hold.
    len: usize,
}

impl Hello {
    /// Looks at the first bytes, of which there are more each time; what is no handshake is plain text.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Looked {
        loop {
            match bytes.get(self.end..).map(fragment) {
                Some(Ok(Some(fragment))) => {
                    self.end += RECORD_HEADER + fragment.len();
                    self.len += fragment.len();
                }
                Some(Err(NoHandshake)) => return Looked::Enough(Seen::default()),
                _ => return Looked::More,
            }
            match self.judge(bytes) {
                Looked::More => {}
                looked => return looked,
            }
        }
    }

    fn judge(&self, bytes: &[u8]) -> Looked {
        let mut message = fragments(bytes).flatten().copied();
        if message.next() != Some(CLIENT_HELLO) {
            return Looked::Enough(Seen::default());
        }
        let [Some(high), Some(middle), Some(low)] = [(); 3].map(|()| message.next()) else { return Looked::More };
        let len = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if len > MOST {
            return Looked::TooLong;
        }
        if self.len < MESSAGE_HEADER + len {
            return Looked::More;
        }
        let body: Vec<u8> = message.take(len).collect();
        Looked::Enough(asked(&body).unwrap_or_default())
    }
}

/// The bytes are not those of a handshake.
struct NoHandshake;

/// Returns what the first record holds of a message; none where not all of it is there.
fn fragment(bytes: &[u8]) -> Result<Option<&[u8]>, NoHandshake> {
    let Some(([kind, major, _, high, low], rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    if (*kind, *major) != (HANDSHAKE, 3) || !(1..=LONGEST_FRAGMENT).contains(&len) {
        return Err(NoHandshake);
    }
    Ok(rest.get(..len))
}

/// Lists what the records hold, up to the first that is not all there.
fn fragments(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let fragment = fragment(bytes).ok().flatten()?;
        bytes = bytes.get(RECORD_HEADER + fragment.len()..)?;
        Some(fragment)
    })
}

/// Reads the body of the message; none where it is none, or says a thing twice, of which servers may hear either.
fn asked(mut body: &[u8]) -> Option<Seen> {
    let body = &mut body;
    take(body, VERSION_AND_RANDOM)?;
    let [_session, _cipher_suites, _compressions] = [vector::<1>(body)?, vector::<2>(body)?, vector::<1>(body)?];
    // the oldest clients have none
    let mut extensions = if body.is_empty() { *body } else { vector::<2>(body)? };
    let (mut name, mut protocols) = (None, None);
    while !extensions.is_empty() {
        let kind = take(&mut extensions, 2)?;
        let extension = vector::<2>(&mut extensions)?;
        let again = match kind {
            SERVER_NAME => name.replace(server_name(extension)?).is_some(),
            APPLICATION_PROTOCOLS => protocols.replace(application_protocols(extension)?).is_some(),
            _ => false,
        };
        if again {
            return None;
        }
    }
    body.is_empty().then(|| Seen {
        transport_protocol: TransportProtocol::Tls,
        server_name: name.unwrap_or_default(),
        application_protocols: protocols.unwrap_or_default(),
    })
}

/// Reads the name of a host (RFC 6066 §3), in lower case; empty where it is none.
fn server_name(mut extension: &[u8]) -> Option<String> {
    let mut names = vector::<2>(&mut extension)?;
    while !names.is_empty() {
        let kind = take(&mut names, 1)?;
        let name = vector::<2>(&mut names)?;
        if kind == HOST_NAME {
            return Some(str::from_utf8(name).unwrap_or_default().to_ascii_lowercase());
        }
    }
    Some(String::new())
}

/// Reads the protocols that are offered (RFC 7301 §3.1), those left out whose names are no text.
fn application_protocols(mut extension: &[u8]) -> Option<Vec<String>> {
    let mut offered = vector::<2>(&mut extension)?;
    let mut protocols = Vec::new();
    while !offered.is_empty() {
        protocols.extend(str::from_utf8(vector::<1>(&mut offered)?).ok().map(str::to_owned));
    }
    Some(protocols)
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(count)?;
    *input = rest;
    Some(taken)
}

/// Takes a vector whose length stands in front of it in `N` bytes.
fn vector<'a, const N: usize>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take(input, N)?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
    take(input, len)
}

/// The type of a record of handshake messages.
const HANDSHAKE: u8 = 0x16;
/// The type of a message.
const CLIENT_HELLO: u8 = 1;
/// Bytes of type, version and length.
const RECORD_HEADER: usize = 5;
/// Bytes of type and length.
const MESSAGE_HEADER: usize = 4;
/// Bytes that a record may hold.
const LONGEST_FRAGMENT: usize = 1 << 14;
const VERSION_AND_RANDOM: usize = 2 + 32;
const SERVER_NAME: &[u8] = &[0, 0];
const APPLICATION_PROTOCOLS: &[u8] = &[0, 16];
/// The type of a name.
const HOST_NAME: &[u8] = &[0];

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn prefixed(len: usize, bytes: &[u8]) -> Vec<u8> {
        [&bytes.len().to_be_bytes()[size_of::<usize>() - len..], bytes].concat()
    }

    fn extension(kind: &[u8], body: &[u8]) -> Vec<u8> {
        [kind, &prefixed(2, body)].concat()
    }

    /// A message that asks for a name and offers protocols, or has no extensions at all.
    fn message(version: [u8; 2], extensions: Option<Vec<u8>>) -> Vec<u8> {
        let mut body = [&version[..], &[7; 32], &prefixed(1, &[1; 32]), &prefixed(2, &[0, 5, 0, 10]), &[1, 0]].concat();
        body.extend(extensions.into_iter().flat_map(|extensions| prefixed(2, &extensions)));
        [&[CLIENT_HELLO][..], &prefixed(3, &body)].concat()
    }

    fn asking() -> Vec<u8> {
        let names = [&[9][..], &prefixed(2, b"of another kind"), HOST_NAME, &prefixed(2, b"Old.Shop")].concat();
        let protocols = [prefixed(1, b"x"), prefixed(1, b"\xff"), prefixed(1, b"h2")].concat();
        [
            extension(&[0x5a, 0x5a], b""),
            extension(SERVER_NAME, &prefixed(2, &names)),
            extension(APPLICATION_PROTOCOLS, &prefixed(2, &protocols)),
        ]
        .concat()
    }

    /// Puts a message into records of this many bytes.
    fn records(minor: u8, message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|part| [&[HANDSHAKE, 3, minor][..], &prefixed(2, part)].concat()).collect()
    }

    fn tls(server_name: &str, application_protocols: &[&str]) -> Looked {
        Looked::Enough(Seen {
            transport_protocol: TransportProtocol::Tls,
            server_name: server_name.to_owned(),
            application_protocols: application_protocols.iter().map(|name| (*name).to_owned()).collect(),
        })
    }

    #[test]
    fn clients_of_every_version_are_understood() {
        for minor in 0..=4 {
            for (extensions, expected) in [
                (None, tls("", &[])),
                (Some(Vec::new()), tls("", &[])),
                (Some(asking()), tls("old.shop", &["x", "h2"])),
            ] {
                let message = message([3, minor], extensions);
                for size in [1, 3, 100, LONGEST_FRAGMENT] {
                    let hello = records(minor.min(3), &message, size);
                    assert_eq!(Hello::default().look(&hello), expected, "3.{minor} by {size}");
                    let mut slow = Hello::default();
                    for end in 0..hello.len() {
                        assert_eq!(slow.look(&hello[..end]), Looked::More, "{end} of 3.{minor} by {size}");
                    }
                    assert_eq!(slow.look(&hello), expected, "3.{minor} by {size}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_hello_is_plain_text() {
        let plain = Looked::Enough(Seen::default());
        let good = message([3, 1], Some(asking()));
        let cut = |at: usize| [&[CLIENT_HELLO][..], &prefixed(3, &good[4..at])].concat();
        let twice = message([3, 3], Some([asking(), extension(SERVER_NAME, b"\0\0")].concat()));
        let longer = [&[CLIENT_HELLO][..], &prefixed(3, &[&good[4..], b"x"].concat())].concat();
        let others = [b"\x02\0\0\x01\0".to_vec(), b"garbage".to_vec(), twice, longer];
        for message in others.into_iter().chain([20, 40, good.len() - 1].map(cut)) {
            assert_eq!(Hello::default().look(&records(1, &message, 99)), plain, "{message:?}");
        }
        for record in
            [&b"\x16\x03\x01\0\0"[..], b"\x16\x03\x01\x40\x01", b"\x17\x03\x01\0\x01\x01", b"\x16\x02\0\0\x01\x01"]
        {
            assert_eq!(Hello::default().look(record), plain, "{record:?}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_known_by_its_first_bytes() {
        let longest = [&[CLIENT_HELLO][..], &MOST.to_be_bytes()[size_of::<usize>() - 3..]].concat();
        assert_eq!(Hello::default().look(&records(1, &longest, 1)), Looked::More);
        assert_eq!(Hello::default().look(&records(1, &[CLIENT_HELLO, 1, 0, 1], 1)), Looked::TooLong);
    }

    proptest! {
        /// Whatever comes in whatever pieces, nothing panics and more bytes never change a verdict.
        #[test]
        fn a_verdict_stays(
            mut bytes in prop_oneof![vec(any::<u8>(), 0..300), Just(records(1, &message([3, 1], Some(asking())), 40))],
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            for (place, byte) in changes {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                }
            }
            let (mut slow, mut verdict) = (Hello::default(), Looked::More);
            for end in 0..=bytes.len() {
                if verdict == Looked::More {
                    verdict = slow.look(&bytes[..end]);
                }
            }
            prop_assert_eq!(verdict, Hello::default().look(&bytes));
        }
    }
}
