//! How pictures reach the page, where somebody wants to choose: for measuring, and for a machine on which the program
//! chooses badly.

use std::str::FromStr;

/// `FORM[,channel]`: what `--frames` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramesOptions {
    /// In which form.
    pub form: WantedForm,
    /// Over a socket; a channel of the window otherwise.
    pub socket: bool,
}

/// The form in which the page gets pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedForm {
    /// What costs least of what the page can do.
    Cheapest,
    /// RGBA always.
    Rgba,
    /// I420 always.
    I420,
    /// Encoded where the page has the codec, else what it draws faster.
    Encoded,
}

/// Not one of the words that there are.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no way for pictures; use auto, rgba, i420 or encoded, and add \",channel\" to do without a socket")]
pub struct UnknownForm(String);

impl Default for FramesOptions {
    fn default() -> Self {
        Self { form: WantedForm::Cheapest, socket: true }
    }
}

impl FromStr for FramesOptions {
    type Err = UnknownForm;

    fn from_str(text: &str) -> Result<Self, UnknownForm> {
        let (form, socket) = match text.strip_suffix(",channel") {
            Some(form) => (form, false),
            None => (text, true),
        };
        let form = match form {
            "auto" => WantedForm::Cheapest,
            "rgba" => WantedForm::Rgba,
            "i420" => WantedForm::I420,
            "encoded" => WantedForm::Encoded,
            _ => return Err(UnknownForm(text.to_owned())),
        };
        Ok(Self { form, socket })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_read_with_and_without_a_socket() {
        assert_eq!("auto".parse(), Ok(FramesOptions::default()));
        assert_eq!("rgba,channel".parse(), Ok(FramesOptions { form: WantedForm::Rgba, socket: false }));
        assert_eq!("i420".parse(), Ok(FramesOptions { form: WantedForm::I420, socket: true }));
        assert_eq!("encoded".parse(), Ok(FramesOptions { form: WantedForm::Encoded, socket: true }));
        for wrong in ["", "channel", "rgba,", "rgba,socket", ",channel"] {
            assert_eq!(wrong.parse::<FramesOptions>(), Err(UnknownForm(wrong.to_owned())));
        }
    }
}
