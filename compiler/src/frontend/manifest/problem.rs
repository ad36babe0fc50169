//! libyaml's words in ours.
//!
//! Input: a problem as libyaml puts it. Output: a message and the remedy. Refused: nothing; words that are not
//! known are passed on.

/// What libyaml's words mean for an author, and the remedy.
pub(super) fn explain(problem: &str, context: &str, found: Option<char>) -> (String, &'static str) {
    let (message, help) = match problem {
        "mapping values are not allowed in this context" => (
            "a `:` stands where no key can be",
            "quote the value if the colon belongs to it, or put the entry on a line of its own",
        ),
        "did not find expected key" => (
            "the line does not fit the mapping around it",
            "indent it like the other keys, and put what follows a quoted value on its own line",
        ),
        "did not find expected '-' indicator" => (
            "the line does not fit the list around it",
            "indent it like the other items, and start it with `- `",
        ),
        "did not find expected node content" => (
            "a value is missing or a bracket does not match",
            "write the value, or quote the text if the sign belongs to it",
        ),
        "could not find expected ':'" => (
            "a key without `:`",
            "write `key: value`, or indent the line if it continues a value above",
        ),
        "did not find expected ',' or '}'" => (
            "a mapping in braces does not end",
            "separate the entries with `,` and close the brace",
        ),
        "did not find expected ',' or ']'" => (
            "a list in brackets does not end",
            "separate the items with `,` and close the bracket",
        ),
        "block sequence entries are not allowed in this context" => (
            "a list cannot start here",
            "start the list on a line of its own, or quote the value if the dash belongs to it",
        ),
        "mapping keys are not allowed in this context" => (
            "a `? ` stands where no key can be",
            "quote the value if the question mark belongs to it",
        ),
        "found unexpected end of stream" => ("a quoted text does not end", "close the quote"),
        "found unexpected document indicator" => (
            "a quoted text runs into the end of the document",
            "close the quote",
        ),
        "found unknown escape character" => (
            "an escape that YAML does not know",
            "write `\\\\` for a backslash, or use single quotes",
        ),
        "found a tab character where an indentation space is expected"
        | "found a tab character that violates indentation" => {
            ("a tab cannot indent YAML", "indent with spaces")
        }
        "found character that cannot start any token" if found == Some('\t') => {
            ("a tab cannot indent YAML", "indent with spaces")
        }
        "found character that cannot start any token" => {
            return (
                format!("a value cannot start with `{}`", found.unwrap_or(' ')),
                "quote the value",
            );
        }
        "did not find expected alphabetic or numeric character" if context.contains("alias") => (
            "`*` starts an alias, and no name follows",
            "quote the value if the asterisk belongs to it",
        ),
        "did not find expected alphabetic or numeric character" => (
            "`&` starts an anchor, and no name follows",
            "quote the value if the sign belongs to it",
        ),
        "did not find expected <document start>" => (
            "the document does not start where it should",
            "remove `%` lines, and put `---` between documents",
        ),
        "control characters are not allowed" => {
            let code = found.map_or(0, u32::from);
            return (
                format!("the control character U+{code:04X} cannot stand in YAML"),
                "remove it, or write it as an escape in double quotes",
            );
        }
        other => {
            let message = if context.is_empty() {
                other.to_owned()
            } else {
                format!("{other} {context}")
            };
            return (message, "see the line above too: the cause may stand there");
        }
    };
    (message.to_owned(), help)
}
