//! Which protocol a port speaks, told by its name.

/// Says what a port's name promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortProtocol<'a> {
    /// `<any>-metaprotocol-<application protocol>[-…]`.
    MetaProtocol(&'a str),
    /// `<any>-metaprotocol`, which lacks the application protocol.
    Incomplete,
    /// Anything else: not a port of MetaProtocol.
    Other,
}

impl<'a> PortProtocol<'a> {
    /// Reads a port's name.
    ///
    /// The first part is free, the second is compared without regard to case, the third is taken as it is.
    pub fn of(name: &'a str) -> Self {
        let mut parts = name.split('-').skip(1);
        if !parts.next().is_some_and(|key| key.eq_ignore_ascii_case("metaprotocol")) {
            return Self::Other;
        }
        match parts.next() {
            Some(application) if !application.is_empty() => Self::MetaProtocol(application),
            _ => Self::Incomplete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_port_names() {
        for (name, expected) in [
            ("tcp-metaprotocol-thrift-hello-server", PortProtocol::MetaProtocol("thrift")),
            ("tcp-metaprotocol-dubbo", PortProtocol::MetaProtocol("dubbo")),
            ("grpc-MetaProtocol-videoPacket", PortProtocol::MetaProtocol("videoPacket")),
            ("tcp-metaprotocol", PortProtocol::Incomplete),
            ("tcp-metaprotocol-", PortProtocol::Incomplete),
            ("metaprotocol-dubbo", PortProtocol::Other),
            ("tcp-dubbo", PortProtocol::Other),
            ("tcp", PortProtocol::Other),
            ("", PortProtocol::Other),
        ] {
            assert_eq!(PortProtocol::of(name), expected, "{name}");
        }
    }
}
