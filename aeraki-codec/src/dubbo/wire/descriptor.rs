//! Parameter types as JVM descriptors without parentheses: `ILjava/lang/String;[[J`.
//!
//! Java looks for types in a descriptor and passes over what lies between them. To count what Java counts, all of it
//! must be types as Java finds them: else another value would be taken for the attachments, which say who is called.

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
            b'L' => class(tail).map_err(|wrong| descriptor.len().saturating_sub(wrong.len()))?,
            _ => return Err(at),
        };
        parameters = parameters.saturating_add(1);
    }
    Ok(parameters)
}

/// Reads a class name of identifiers as Java's pattern has them, and returns what follows its semicolon.
///
/// # Errors
/// What begins with the character that cannot stand there.
fn class(name: &[u8]) -> Result<&[u8], &[u8]> {
    let mut rest = name;
    let mut is_first = true;
    while let Some((character, tail)) = rest.split_first() {
        is_first = match character {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' => false,
            b'0'..=b'9' if !is_first => false,
            b'/' if !is_first => true,
            b';' if !is_first => return Ok(tail),
            _ => return Err(rest),
        };
        rest = tail;
    }
    Err(rest)
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
            ("L_a/$b/C9$1;LInDefaultPackage;", 2),
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

    #[test]
    fn refuses_classes_in_which_java_finds_other_types() {
        for (descriptor, at) in [
            ("L1[ILjava/util/Map;", 1),
            ("L-[I;", 1),
            ("L;", 1),
            ("La[I;", 2),
            ("L/a;", 1),
            ("La//b;", 3),
            ("La/;", 3),
            ("La/1;", 3),
            ("La.B;", 2),
            ("L\u{e9};", 1),
        ] {
            assert_eq!(count(descriptor.as_bytes()), Err(at), "{descriptor}");
        }
    }
}
