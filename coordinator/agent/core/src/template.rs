//! Fills placeholders into one argument or value. There is no shell, no splitting and no second pass: what a value
//! holds is never read as a template.

use std::fmt;

use playgate_protocol::limits::ARG_BYTES_MAX;

/// Why a template cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// It names something that nobody gave a value.
    Unknown(String),
    /// A `{` without its `}`.
    Unclosed,
    /// A `}` without its `{`.
    Stray,
    /// The result holds a NUL byte, which would end the argument early.
    Nul,
    /// The result is longer than an argument may be.
    TooLong,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(
                f,
                "{{{name}}} is unknown; there are {{port}}, {{name}}, {{process}}, {{fleet}}, {{host}} and the fleet's \
                 properties (write {{{{ for a brace)"
            ),
            Self::Unclosed => f.write_str("a { is not closed (write {{ for a brace)"),
            Self::Stray => f.write_str("a } closes nothing (write }} for a brace)"),
            Self::Nul => f.write_str("the result holds a NUL byte"),
            Self::TooLong => write!(f, "the result is longer than {ARG_BYTES_MAX} bytes"),
        }
    }
}

impl std::error::Error for TemplateError {}

/// Replaces each `{name}` by its value, `{{` by `{` and `}}` by `}`.
///
/// ```
/// use playgate_agent_core::template::expand;
/// let port = |name: &str| (name == "port").then_some("7000");
/// assert_eq!(expand("--listen=0.0.0.0:{port}", port).as_deref(), Ok("--listen=0.0.0.0:7000"));
/// ```
///
/// # Errors
/// [`TemplateError`] says what is wrong.
pub fn expand<'a>(template: &str, value_of: impl Fn(&str) -> Option<&'a str>) -> Result<String, TemplateError> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            filled.push_str(brace);
            rest = after;
        } else if brace == "{" {
            let (name, after) = rest.split_once('}').ok_or(TemplateError::Unclosed)?;
            filled.push_str(value_of(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?);
            rest = after;
        } else {
            return Err(TemplateError::Stray);
        }
        if filled.len() > ARG_BYTES_MAX {
            return Err(TemplateError::TooLong);
        }
    }
    filled.push_str(rest);
    match filled {
        filled if filled.contains('\0') => Err(TemplateError::Nul),
        filled if filled.len() > ARG_BYTES_MAX => Err(TemplateError::TooLong),
        filled => Ok(filled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(name: &str) -> Option<&'static str> {
        match name {
            "port" => Some("7000"),
            "brace" => Some("{port} }} {{"),
            "nul" => Some("a\0b"),
            "shell" => Some("$(reboot) `x` \"' ; | & \\"),
            "" => Some("nameless"),
            _ => None,
        }
    }

    fn check(template: &str, expected: Result<&str, TemplateError>) {
        assert_eq!(expand(template, values), expected.map(str::to_owned), "{template:?}");
    }

    #[test]
    fn names_are_replaced_once_and_values_are_not_read() {
        check("", Ok(""));
        check("plain", Ok("plain"));
        check("{port}", Ok("7000"));
        check("a{port}b{port}c", Ok("a7000b7000c"));
        check("{{port}}", Ok("{port}"));
        check("{{{port}}}", Ok("{7000}"));
        check("{{}}", Ok("{}"));
        check("{}", Ok("nameless"));
        check("{brace}", Ok("{port} }} {{"));
        check("{shell}", Ok("$(reboot) `x` \"' ; | & \\"));
        check("\u{e9}{port}\u{1f600}", Ok("\u{e9}7000\u{1f600}"));
    }

    #[test]
    fn what_cannot_be_filled_in_is_named() {
        check("{map}", Err(TemplateError::Unknown("map".to_owned())));
        check("{Port}", Err(TemplateError::Unknown("Port".to_owned())));
        check("{ port}", Err(TemplateError::Unknown(" port".to_owned())));
        check("{por{port}", Err(TemplateError::Unknown("por{port".to_owned())));
        check("{port", Err(TemplateError::Unclosed));
        check("{", Err(TemplateError::Unclosed));
        check("port}", Err(TemplateError::Stray));
        check("{port}}", Err(TemplateError::Stray));
        check("{nul}", Err(TemplateError::Nul));
        check("a\0", Err(TemplateError::Nul));
    }

    #[test]
    fn a_mistake_says_how_to_write_it_right() {
        for (error, part) in [
            (TemplateError::Unknown("mpa".to_owned()), "{mpa} is unknown; there are {port}, {name}"),
            (TemplateError::Unclosed, "{ is not closed (write {{ for a brace)"),
            (TemplateError::Stray, "} closes nothing (write }} for a brace)"),
            (TemplateError::Nul, "NUL"),
            (TemplateError::TooLong, "longer than 4096 bytes"),
        ] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_result_has_a_bound() {
        let long = "x".repeat(ARG_BYTES_MAX);
        check(&long, Ok(&long));
        check(&format!("{long}x"), Err(TemplateError::TooLong));
        let half = |name: &str| (name == "half").then_some(&long[..ARG_BYTES_MAX / 2]);
        assert_eq!(expand("{half}{half}", half).as_deref(), Ok(long.as_str()));
        assert_eq!(expand("{half}{half}{half}", half), Err(TemplateError::TooLong));
        assert_eq!(expand("x{half}{half}", half), Err(TemplateError::TooLong));
    }
}
