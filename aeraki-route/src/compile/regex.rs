//! Regular expressions as Envoy reads them: RE2 semantics, whole value, linear time, bounded size.

use std::{collections::HashMap, fmt, sync::Arc};

use regex_automata::{Input, meta, util::syntax};
use regex_syntax::{
    ast::{self, Ast, Visitor},
    hir::{
        Hir, HirKind, Look,
        literal::{ExtractKind, Extractor},
    },
};

/// A regular expression that must match an entire value.
pub(crate) struct FullRegex {
    pattern: Box<str>,
    regex: meta::Regex,
    prefix: Box<[u8]>,
}

impl FullRegex {
    /// Compiles `hir`, the parsed `pattern`.
    fn new(pattern: &str, hir: &Hir) -> Result<Arc<Self>, String> {
        let config = meta::Config::new()
            .nfa_size_limit(Some(PROGRAM_BYTES))
            .onepass_size_limit(Some(PROGRAM_BYTES))
            .hybrid_cache_capacity(CACHE_BYTES);
        let regex = meta::Builder::new()
            .configure(config)
            .build_from_hir(&anchored(hir.clone()))
            .map_err(|_| format!("the regular expression takes more than {PROGRAM_BYTES} bytes when compiled"))?;
        Ok(Arc::new(Self { pattern: pattern.into(), regex, prefix: literal_prefix(hir) }))
    }

    /// Returns the text of the expression.
    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Returns the literal that every matching value starts with; may be empty.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Tells whether the expression matches all of `value`.
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        self.regex.is_match(Input::new(value).earliest(true))
    }
}

impl fmt::Debug for FullRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FullRegex").field(&self.pattern).finish()
    }
}

/// The compiled expressions of a table; a pattern that many routes share is compiled once.
#[derive(Debug, Default)]
pub(super) struct RegexPool {
    compiled: HashMap<Box<str>, Arc<FullRegex>>,
}

/// What has become of a pattern.
pub(super) enum Compiled {
    /// The only value that it matches: no expression is needed.
    Literal(Box<[u8]>),
    Regex(Arc<FullRegex>),
}

impl RegexPool {
    pub(super) fn compile(&mut self, pattern: &str) -> Result<Compiled, String> {
        if let Some(known) = self.compiled.get(pattern) {
            return Ok(Compiled::Regex(Arc::clone(known)));
        }
        let hir = parse(pattern)?;
        if let Some(literal) = as_literal(&hir) {
            return Ok(Compiled::Literal(literal.into()));
        }
        let regex = FullRegex::new(pattern, &hir)?;
        self.compiled.insert(pattern.into(), Arc::clone(&regex));
        Ok(Compiled::Regex(regex))
    }
}

/// Parses `pattern`; the error is one line.
pub(crate) fn parse(pattern: &str) -> Result<Hir, String> {
    let ascii = with_ascii_classes(pattern)?;
    let config = syntax::Config::new().utf8(false).nest_limit(NEST_LIMIT);
    syntax::parse_with(&ascii, &config).map_err(|error| match error {
        regex_syntax::Error::Parse(error) => describe(error.kind(), error.span()),
        regex_syntax::Error::Translate(error) => describe(error.kind(), error.span()),
        error => error.to_string(),
    })
}

/// Returns the only value that the expression matches, if it matches one alone.
fn as_literal(hir: &Hir) -> Option<&[u8]> {
    match hir.kind() {
        HirKind::Empty => Some(b""),
        HirKind::Literal(literal) => Some(&literal.0),
        _ => None,
    }
}

/// Ties an expression to both ends of the value.
pub(crate) fn anchored(hir: Hir) -> Hir {
    Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)])
}

fn literal_prefix(hir: &Hir) -> Box<[u8]> {
    let literals = Extractor::new().kind(ExtractKind::Prefix).extract(hir);
    literals.longest_common_prefix().unwrap_or_default().into()
}

/// Writes Perl classes and word boundaries out in ASCII, as RE2 reads them; the parser would take them as Unicode's.
fn with_ascii_classes(pattern: &str) -> Result<String, String> {
    let ast = ast::parse::ParserBuilder::new()
        .nest_limit(NEST_LIMIT)
        .build()
        .parse(pattern)
        .map_err(|error| describe(error.kind(), error.span()))?;
    let mut ascii = String::with_capacity(pattern.len());
    let mut copied = 0;
    let Ok(replacements) = ast::visit(&ast, AsciiClasses::default());
    for (span, replacement) in replacements {
        ascii.push_str(&pattern[copied..span.start.offset]);
        ascii.push_str(replacement);
        copied = span.end.offset;
    }
    ascii.push_str(&pattern[copied..]);
    Ok(ascii)
}

/// Collects what is to be written out, in the order of the pattern.
#[derive(Default)]
struct AsciiClasses(Vec<(ast::Span, &'static str)>);

impl AsciiClasses {
    fn class(&mut self, class: &ast::ClassPerl) {
        let ascii = match (&class.kind, class.negated) {
            (ast::ClassPerlKind::Digit, false) => r"[0-9]",
            (ast::ClassPerlKind::Digit, true) => r"[^0-9]",
            (ast::ClassPerlKind::Space, false) => r"[\t\n\f\r\x20]",
            (ast::ClassPerlKind::Space, true) => r"[^\t\n\f\r\x20]",
            (ast::ClassPerlKind::Word, false) => r"[0-9A-Za-z_]",
            (ast::ClassPerlKind::Word, true) => r"[^0-9A-Za-z_]",
        };
        self.0.push((class.span, ascii));
    }
}

impl Visitor for AsciiClasses {
    type Output = Vec<(ast::Span, &'static str)>;
    type Err = std::convert::Infallible;

    fn finish(self) -> Result<Self::Output, Self::Err> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        match ast {
            Ast::ClassPerl(class) => self.class(class),
            Ast::Assertion(assertion) => match assertion.kind {
                ast::AssertionKind::WordBoundary => self.0.push((assertion.span, r"(?-u:\b)")),
                ast::AssertionKind::NotWordBoundary => self.0.push((assertion.span, r"(?-u:\B)")),
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ast::ClassSetItem) -> Result<(), Self::Err> {
        if let ast::ClassSetItem::Perl(class) = item {
            self.class(class);
        }
        Ok(())
    }
}

fn describe(reason: &impl fmt::Display, span: &ast::Span) -> String {
    format!("not a regular expression: {reason} (at byte {})", span.start.offset)
}

/// Bytes that one compiled expression may take. Envoy's own limit of 100 instructions is far stricter, but off by
/// default.
pub(crate) const PROGRAM_BYTES: usize = 1 << 20;
/// Bytes that the states of one expression may take in one thread before they are built anew.
const CACHE_BYTES: usize = 64 << 10;
const NEST_LIMIT: u32 = 64;
