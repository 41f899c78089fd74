//! The peer connection's own descriptions on their way out: what it leaves out is added, what holds otherwise is set right.

use crate::candidate;
use crate::description::Direction;

/// What holds for a section, whatever the peer connection wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionFate {
    /// Open, in this direction from our point of view.
    Open(Direction),
    /// Closed: port zero and out of the BUNDLE.
    Refused,
}

/// Which side of the DTLS connection we are (RFC 8842 §5.3, RFC 4145 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DtlsRole {
    /// The client: it begins the handshake.
    Active,
    /// The server.
    Passive,
}

impl DtlsRole {
    /// The one that a description of ours says; `None` where it leaves the choice.
    pub(crate) fn said(sdp: &str) -> Option<Self> {
        let lines = || sdp.lines().filter(|line| line.starts_with("a=setup:"));
        [Self::Active, Self::Passive].into_iter().find(|role| lines().any(|line| line == role.attribute()))
    }

    /// The other side's.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Active => Self::Passive,
            Self::Passive => Self::Active,
        }
    }

    fn attribute(self) -> &'static str {
        match self {
            Self::Active => "a=setup:active",
            Self::Passive => "a=setup:passive",
        }
    }
}

/// A description of ours as it is sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LocalDescription {
    pub(crate) sdp: String,
    /// Media and mid of each section.
    pub(crate) sections: Vec<(String, String)>,
    /// The section that carries the transport of all, by which candidates are named: the first one that is open.
    pub(crate) bundle_tag: BundleTag,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BundleTag {
    pub(crate) mid: String,
    pub(crate) line_index: u16,
}

/// Completes `sdp` for the peer. `role` is the one of the DTLS connection that there is already: an answer keeps it (RFC 8842
/// §5.3). `fate` says what holds for the section with a given mid; `None` leaves it as it is.
pub(crate) fn publish(
    sdp: &str,
    loopback: bool,
    role: Option<DtlsRole>,
    fate: impl Fn(&str) -> Option<SectionFate>,
) -> LocalDescription {
    let mut blocks: Vec<Vec<&str>> = vec![Vec::new()];
    for line in sdp.lines().filter(|line| !line.is_empty()) {
        if line.starts_with("m=") {
            blocks.push(Vec::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push(line);
        }
    }
    let mut out = String::with_capacity(sdp.len() + 64);
    let mut sections = Vec::new();
    let mut bundle_tag = None;
    for (index, block) in blocks.iter().enumerate() {
        if index == 0 {
            publish_session(&mut out, block, &fate);
            continue;
        }
        let mid = block.iter().find_map(|line| line.strip_prefix("a=mid:")).unwrap_or_default();
        let media = block.iter().find_map(|line| line.strip_prefix("m=")?.split(' ').next()).unwrap_or_default();
        let fate = fate(mid);
        if fate != Some(SectionFate::Refused) {
            let line_index = u16::try_from(sections.len()).unwrap_or_default();
            bundle_tag.get_or_insert_with(|| BundleTag { mid: mid.to_owned(), line_index });
        }
        publish_section(&mut out, block, loopback, role, fate);
        sections.push((media.to_owned(), mid.to_owned()));
    }
    LocalDescription { sdp: out, sections, bundle_tag: bundle_tag.unwrap_or_default() }
}

fn publish_session(out: &mut String, block: &[&str], fate: impl Fn(&str) -> Option<SectionFate>) {
    for line in block {
        match line.strip_prefix("a=group:BUNDLE ") {
            Some(mids) => {
                let open: Vec<&str> = mids.split(' ').filter(|mid| fate(mid) != Some(SectionFate::Refused)).collect();
                push(out, &format!("a=group:BUNDLE {}", open.join(" ")));
            }
            None => push(out, line),
        }
    }
    // RFC 8840 §4.1.1: without it a peer may wait for all candidates.
    push(out, "a=ice-options:trickle");
}

fn publish_section(
    out: &mut String,
    block: &[&str],
    loopback: bool,
    role: Option<DtlsRole>,
    fate: Option<SectionFate>,
) {
    for line in block {
        if let Some(attribute) = line.strip_prefix("a=candidate:") {
            // The peer connection repeats each candidate for component 2, and names addresses where no one is.
            // It tells a relay's related address, too, which is this machine's own.
            if let Ok(checked) = candidate::check(attribute, loopback) {
                push(out, &format!("a={}", checked.attribute));
            }
            continue;
        }
        if let (Some(role), true) = (role, line.starts_with("a=setup:")) {
            push(out, role.attribute());
            continue;
        }
        match fate {
            Some(SectionFate::Refused) if line.starts_with("m=") => push(out, &with_port_zero(line)),
            Some(SectionFate::Open(direction)) if *line == "a=sendrecv" => push(out, attribute(direction)),
            Some(SectionFate::Refused | SectionFate::Open(_)) | None => push(out, line),
        }
    }
}

fn with_port_zero(media_line: &str) -> String {
    let mut fields: Vec<&str> = media_line.split(' ').collect();
    if let Some(port) = fields.get_mut(1) {
        *port = "0";
    }
    fields.join(" ")
}

fn attribute(direction: Direction) -> &'static str {
    match direction {
        Direction::SendRecv => "a=sendrecv",
        Direction::SendOnly => "a=sendonly",
        Direction::RecvOnly => "a=recvonly",
        Direction::Inactive => "a=inactive",
    }
}

fn push(out: &mut String, line: &str) {
    out.push_str(line);
    out.push_str("\r\n");
}
