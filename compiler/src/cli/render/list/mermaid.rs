//! Connections as a flowchart. <https://mermaid.js.org/syntax/flowchart.html>

use super::View;
use super::graph::{Graph, Node};
use std::fmt::{self, Write};

/// The graph as text.
pub(in crate::cli) fn text(view: &View<'_>, graph: &Graph) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(view, graph, &mut out);
    out
}

fn write(view: &View<'_>, graph: &Graph, out: &mut String) -> fmt::Result {
    writeln!(out, "flowchart LR")?;
    let remarks = view.remarks();
    for remark in std::iter::once(view.headline()).chain(remarks) {
        // A comment with braces is read as a directive.
        writeln!(out, "  %% {}", remark.replace(['{', '}', '\n'], " "))?;
    }
    for (number, (namespace, nodes)) in graph.namespaces().into_iter().enumerate() {
        writeln!(out, "  subgraph ns{number}[\"{}\"]", escaped(namespace))?;
        for index in nodes {
            if let Some(node) = graph.nodes.get(index) {
                one(index, node, "    ", out)?;
            }
        }
        writeln!(out, "  end")?;
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        if node.namespace.is_none() {
            one(index, node, "  ", out)?;
        }
    }
    for edge in &graph.edges {
        let arrow = if edge.perhaps { "-.->" } else { "-->" };
        let (from, to, text) = (edge.from, edge.to, escaped(&edge.text));
        writeln!(out, "  n{from} {arrow}|\"{text}\"| n{to}")?;
    }
    Ok(())
}

fn one(index: usize, node: &Node, indent: &str, out: &mut String) -> fmt::Result {
    let lines: Vec<String> = node.lines.iter().map(|line| escaped(line)).collect();
    let text = lines.join("<br>");
    if node.is_outside {
        writeln!(out, "{indent}n{index}([\"{text}\"])")
    } else {
        writeln!(out, "{indent}n{index}[\"{text}\"]")
    }
}

/// Text between quotes: what Mermaid, Markdown or HTML could read as its own is a numbered entity.
fn escaped(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || " -./:,…".contains(c);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if harmless(c) {
            out.push(c);
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "#{};", u32::from(c));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_in_their_quotes() {
        assert_eq!(
            escaped("shop/* \"<b>`end"),
            "shop/#42; #34;#60;b#62;#96;end"
        );
    }
}
