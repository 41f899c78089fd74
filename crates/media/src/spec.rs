//! What a user writes to say where pictures and sound come from and go to. Only the words;
//! opening them is `source` and `sink`.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where pictures or sound come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// `file:PATH`, a Y4M or WAV file, played in a loop.
    File(PathBuf),
    /// `pattern`, a moving test picture.
    Pattern,
    /// `tone`, a test tone.
    Tone,
    /// `none`, nothing is sent.
    None,
    /// Anything else: the id of a camera or microphone.
    Device(String),
}

/// Where pictures or sound go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkSpec {
    /// `file:PATH`, recorded as Y4M or WAV.
    File(PathBuf),
    /// `none`, thrown away.
    None,
    /// Anything else: the id of a speaker or screen.
    Device(String),
}

impl FromStr for SourceSpec {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "pattern" => Self::Pattern,
            "tone" => Self::Tone,
            "none" => Self::None,
            other => match other.strip_prefix("file:") {
                Some(path) => Self::File(PathBuf::from(path)),
                None => Self::Device(other.to_owned()),
            },
        })
    }
}

impl FromStr for SinkSpec {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "none" => Self::None,
            other => match other.strip_prefix("file:") {
                Some(path) => Self::File(PathBuf::from(path)),
                None => Self::Device(other.to_owned()),
            },
        })
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Pattern => f.write_str("pattern"),
            Self::Tone => f.write_str("tone"),
            Self::None => f.write_str("none"),
            Self::Device(id) => f.write_str(id),
        }
    }
}

impl fmt::Display for SinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::None => f.write_str("none"),
            Self::Device(id) => f.write_str(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_source_is_told_apart_and_written_back() {
        let file = SourceSpec::File("a clip.y4m".into());
        let device = SourceSpec::Device("usb-cam:0".into());
        let cases = [
            ("file:a clip.y4m", file),
            ("pattern", SourceSpec::Pattern),
            ("tone", SourceSpec::Tone),
            ("none", SourceSpec::None),
            ("usb-cam:0", device),
        ];
        for (text, spec) in cases {
            assert_eq!(text.parse(), Ok(spec.clone()));
            assert_eq!(spec.to_string(), text);
        }
    }

    #[test]
    fn a_sink_knows_no_pattern() {
        assert_eq!("pattern".parse(), Ok(SinkSpec::Device("pattern".into())));
        assert_eq!("none".parse(), Ok(SinkSpec::None));
        assert_eq!("file:x.wav".parse(), Ok(SinkSpec::File("x.wav".into())));
    }
}
