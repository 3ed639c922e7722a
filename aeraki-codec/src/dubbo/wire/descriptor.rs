//! Parameter types as JVM descriptors without parentheses: `ILjava/lang/String;[[J`.

/// Counts the parameters of a descriptor.
///
/// # Errors
/// The offset of the character that does not follow the grammar, or the length where it ends too early.
pub(super) fn count(descriptor: &[u8]) -> Result<usize, usize> {
    let mut rest = descriptor;
    let mut parameters = 0usize;
    while let Some((first, tail)) = rest.split_first() {
        let at = descriptor.len().saturating_sub(rest.len());
        rest = match first {
            b'[' => {
                if tail.is_empty() {
                    return Err(descriptor.len());
                }
                rest = tail;
                continue;
            }
            b'V' | b'Z' | b'B' | b'C' | b'D' | b'F' | b'I' | b'J' | b'S' => tail,
            b'L' => {
                let end = memchr::memchr(b';', tail).ok_or(descriptor.len())?;
                tail.split_at_checked(end).map(|(_, tail)| tail.get(1..).unwrap_or_default()).unwrap_or_default()
            }
            _ => return Err(at),
        };
        parameters = parameters.saturating_add(1);
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_java_writes() {
        for (descriptor, parameters) in [
            ("", 0),
            ("I", 1),
            ("IJDZSBCF", 8),
            ("Ljava/lang/String;", 1),
            ("[[I[Ljava/lang/String;[B", 3),
            ("Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;", 3),
        ] {
            assert_eq!(count(descriptor.as_bytes()), Ok(parameters), "{descriptor}");
        }
    }

    #[test]
    fn refuses_what_java_refuses() {
        for (descriptor, at) in [("x", 0), ("Ix", 1), ("[", 1), ("I[[", 3), ("Ljava/lang/String", 17), ("I;", 1)] {
            assert_eq!(count(descriptor.as_bytes()), Err(at), "{descriptor}");
        }
    }
}
