//! Connections for Graphviz. <https://graphviz.org/doc/info/lang.html>

use super::View;
use super::graph::{Graph, Node};
use crate::cli::render::clean;
use std::fmt::{self, Write};

/// The graph as text.
pub(in crate::cli) fn text(view: &View<'_>, graph: &Graph) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(view, graph, &mut out);
    out
}

fn write(view: &View<'_>, graph: &Graph, out: &mut String) -> fmt::Result {
    writeln!(out, "digraph verdict {{")?;
    writeln!(out, "  rankdir=LR;")?;
    writeln!(out, "  node [shape=box];")?;
    let mut title = vec![view.headline()];
    title.extend(view.remarks());
    writeln!(out, "  label={};", quoted(&title))?;
    for (number, (namespace, nodes)) in graph.namespaces().into_iter().enumerate() {
        writeln!(out, "  subgraph cluster_{number} {{")?;
        writeln!(out, "    label={};", quoted(&[namespace]))?;
        for index in nodes {
            if let Some(node) = graph.nodes.get(index) {
                one(index, node, "    ", out)?;
            }
        }
        writeln!(out, "  }}")?;
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        if node.namespace.is_none() {
            one(index, node, "  ", out)?;
        }
    }
    for edge in &graph.edges {
        let style = if edge.perhaps { ", style=dashed" } else { "" };
        let (from, to, label) = (edge.from, edge.to, quoted(&[&edge.text]));
        writeln!(out, "  n{from} -> n{to} [label={label}{style}];")?;
    }
    writeln!(out, "}}")
}

fn one(index: usize, node: &Node, indent: &str, out: &mut String) -> fmt::Result {
    let shape = if node.is_outside {
        ", shape=ellipse"
    } else {
        ""
    };
    writeln!(
        out,
        "{indent}n{index} [label={}{shape}];",
        quoted(&node.lines)
    )
}

/// Lines as a quoted string. A backslash begins an escape in labels: it is doubled.
fn quoted(lines: &[impl AsRef<str>]) -> String {
    let lines = lines.iter().map(|line| {
        let line = clean(line.as_ref());
        let line = line.replace('\\', "\\\\").replace('"', "\\\"");
        line.replace('\n', "\\n")
    });
    format!("\"{}\"", lines.collect::<Vec<_>>().join("\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_in_their_quotes() {
        assert_eq!(quoted(&["a\"]; b\\", "c\nd"]), r#""a\"]; b\\\nc\nd""#);
    }
}
