//! What a page proves itself with, so that no other program of this machine gets to see pictures.

use subtle::ConstantTimeEq as _;

/// 128 random bits, new in each run of the program. Shown nowhere.
pub(super) struct Token(String);

impl Token {
    /// Draws one.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// As the page gets it: 32 hexadecimal digits.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this is it. How long the answer takes says nothing of how much was right.
    pub(super) fn is(&self, claimed: &str) -> bool {
        self.0.as_bytes().ct_eq(claimed.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_only_itself() {
        let token = Token::new().unwrap();
        let text = token.reveal().to_owned();
        assert_eq!(text.len(), 32);
        assert!(token.is(&text));
        assert_ne!(Token::new().unwrap().reveal(), text, "two runs share a token");
        for wrong in [&text[1..], &text.replace(&text[31..], "g"), "", &format!("{text}0")] {
            assert!(!token.is(wrong), "{wrong}");
        }
    }
}
