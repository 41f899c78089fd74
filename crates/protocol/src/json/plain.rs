//! The members of a JSON object as they stand in its text, for what is read to be passed on and not to be kept. Only the
//! plain part of JSON is read, which is nearly all of what is ever written: whatever else may be right or wrong is left to
//! [`parse_object`](super::parse_object), which also finds the words for it.

/// In one object; names are compared each with each.
const MEMBERS_MAX: usize = 16;
const DEPTH_MAX: usize = 8;
/// So many fit into every number type that a reader may have, a double too.
const DIGITS_MAX: usize = 15;

/// One member of an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    /// Nothing is escaped in it.
    pub(crate) name: &'a str,
    /// The text of its value, without space around it.
    pub(crate) value: &'a str,
    /// Both, as they stand there: `"name":value`.
    pub(crate) whole: &'a str,
}

/// The members of one object in their order; their names differ.
#[derive(Debug, Default)]
pub(crate) struct Members<'a> {
    all: [Member<'a>; MEMBERS_MAX],
    count: usize,
}

/// Takes an object apart. What this reads, [`parse_object`](super::parse_object) reads too, with the same members.
pub(crate) fn members_of(text: &str) -> Option<Members<'_>> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.space();
    let members = scanner.object(0)?;
    scanner.space();
    (scanner.at == text.len()).then_some(members)
}

/// What is between the quotes of a string in which nothing is escaped.
pub(crate) fn bare_string(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"').filter(|text| !text.contains('\\'))
}

impl<'a> Members<'a> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member<'a>> {
        self.all.iter().take(self.count)
    }

    /// The text of a member's value.
    pub(crate) fn value(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|member| member.name == name).map(|member| member.value)
    }

    /// `None`: its name is there already, or there are too many.
    fn add(&mut self, member: Member<'a>) -> Option<()> {
        if self.iter().any(|known| known.name == member.name) {
            return None;
        }
        *self.all.get_mut(self.count)? = member;
        self.count += 1;
        Some(())
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// Each reads one thing and stands behind it. `None`: it is not there, or not plain.
impl<'a> Scanner<'a> {
    fn object(&mut self, depth: usize) -> Option<Members<'a>> {
        let mut members = Members::default();
        self.byte(b'{')?;
        self.space();
        if self.byte(b'}').is_some() {
            return Some(members);
        }
        loop {
            let start = self.at;
            let name = bare_string(self.string()?)?;
            self.space();
            self.byte(b':')?;
            self.space();
            let value = self.value(depth)?;
            members.add(Member { name, value, whole: self.text.get(start..self.at)? })?;
            if self.is_last(b'}')? {
                return Some(members);
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.byte(b'[')?;
        self.space();
        if self.byte(b']').is_some() {
            return Some(());
        }
        loop {
            self.value(depth)?;
            if self.is_last(b']')? {
                return Some(());
            }
        }
    }

    /// Behind a part of an object or array: whether `end` follows, or else a comma.
    fn is_last(&mut self, end: u8) -> Option<bool> {
        self.space();
        if self.byte(end).is_some() {
            return Some(true);
        }
        self.byte(b',')?;
        self.space();
        Some(false)
    }

    fn value(&mut self, depth: usize) -> Option<&'a str> {
        let start = self.at;
        match self.peek()? {
            b'"' => return self.string(),
            b'{' if depth < DEPTH_MAX => {
                self.object(depth + 1)?;
            }
            b'[' if depth < DEPTH_MAX => self.array(depth + 1)?,
            b'-' | b'0'..=b'9' => self.integer()?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => return None,
        }
        self.text.get(start..self.at)
    }

    /// With its quotes.
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.byte(b'"')?;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            self.at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
            if self.byte(b'"').is_some() {
                return self.text.get(start..self.at);
            }
            self.byte(b'\\')?;
            // `\u` is not plain: surrogates have to be pairs.
            if !matches!(self.peek()?, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') {
                return None;
            }
            self.at += 1;
        }
    }

    fn integer(&mut self) -> Option<()> {
        let is_negative = self.byte(b'-').is_some();
        let rest = self.text.as_bytes().get(self.at..)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let begins_with_zero = rest.first() == Some(&b'0');
        // Of a zero with a sign readers make different things.
        if digits == 0 || digits > DIGITS_MAX || (begins_with_zero && (digits > 1 || is_negative)) {
            return None;
        }
        self.at += digits;
        // A fraction or an exponent is not plain.
        (!matches!(self.peek(), Some(b'.' | b'e' | b'E'))).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn byte(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Object, parse_object};

    /// What the members say, each read by itself.
    fn read(text: &str) -> Option<Object> {
        let members = members_of(text)?;
        let read = |member: &Member<'_>| {
            let alone = parse_object(&format!("{{{}}}", member.whole)).unwrap();
            assert_eq!(alone.get(member.name), Some(&serde_json::from_str(member.value).unwrap()), "{member:?}");
            (member.name.to_owned(), serde_json::from_str(member.value).unwrap())
        };
        Some(members.iter().map(read).collect())
    }

    #[test]
    fn what_is_plain_is_taken_apart() {
        for text in [
            "{}",
            " { } ",
            r#"{"a":1}"#,
            r#"{"a" : -17 , "b":[ 1 ,2,[],{}],"c":"é \" \\ \/ \b\f\n\r\t","d":{"a":{"a":null}},"e":true,"f":false}"#,
            "{\"sdp\":\"v=0\\r\\n\",\n\t\"n\":0}",
            "{\"\":\"\",\"\u{7f}\":999999999999999}",
        ] {
            assert_eq!(read(text), Some(parse_object(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_alone() {
        for text in [
            "",
            "[]",
            "7",
            "{",
            "{} {}",
            "{}x",
            r#"{"a":1,}"#,
            r#"{,"a":1}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1,"b":2}]}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a\n":1}"#,
            r#"{"a":"\u0061"}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\x"}"#,
            "{\"a\":\"\n\"}",
            "{\"a\":\"\0\"}",
            r#"{"a":"b"#,
            r#"{"a":"b\"#,
            r#"{"a":01}"#,
            r#"{"a":-0}"#,
            r#"{"a":-}"#,
            r#"{"a":1.5}"#,
            r#"{"a":1e5}"#,
            r#"{"a":1E5}"#,
            r#"{"a":1000000000000000}"#,
            r#"{"a":truth}"#,
            r#"{"a":nul}"#,
            r#"{"a":+1}"#,
            r#"{'a':1}"#,
            "\u{feff}{}",
            "{\"a\":1\u{a0}}",
        ] {
            assert!(members_of(text).is_none(), "{text}");
        }
        let deep = |depth: usize| format!("{}[]{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(members_of(&deep(DEPTH_MAX)).is_some() && members_of(&deep(DEPTH_MAX + 1)).is_none());
        assert!(members_of(&"{\"a\":".repeat(100_000)).is_none());
        let wide = |count: usize| {
            let members: Vec<String> = (0..count).map(|number| format!("\"{number}\":{number}")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(read(&wide(MEMBERS_MAX)).is_some_and(|object| object.len() == MEMBERS_MAX));
        assert!(members_of(&wide(MEMBERS_MAX + 1)).is_none());
    }

    #[test]
    fn whatever_is_taken_apart_is_read_whole_with_the_same_members() {
        const PARTS: [&str; 34] = [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\"a\"",
            "\"b\"",
            "\"a\":",
            "\"b\":",
            "1",
            "-",
            "0",
            ".",
            "e",
            "12",
            "\\",
            "\\u0061",
            "\\n",
            "u",
            " ",
            "\n",
            "true",
            "null",
            "fals",
            "é",
            "{}",
            "[]",
            "{\"a\":1}",
            "\"\\\"\"",
            "\u{1}",
            "\\ud83d",
            "x",
        ];
        let mut dice = crate::dice::Dice::new();
        let mut taken = 0;
        for _ in 0..200_000 {
            let mut text = String::from("{\"c\":");
            for _ in 0..dice.below(8) {
                text.push_str(PARTS[dice.below(PARTS.len())]);
            }
            text.push('}');
            if let Some(object) = read(&text) {
                assert_eq!(parse_object(&text).ok(), Some(object), "{text}");
                taken += 1;
            }
        }
        assert!(taken > 1_000, "{taken}");
    }
}
