//! Answers for people.

use super::report::{
    AttachmentReport, Attestation, BundleReport, ChangeReport, HookReport, KindWord, PlaceReport,
    RuleReport, StatusReport,
};
use std::io::{self, Write};

/// What a command changed.
pub(super) fn change(report: &ChangeReport, out: &mut dyn Write) -> io::Result<()> {
    match report.generation {
        Some(generation) if report.unchanged => {
            writeln!(
                out,
                "generation {generation} enforces, and is this image already: nothing was loaded"
            )?;
        }
        Some(generation) => writeln!(out, "generation {generation} enforces")?,
        None => writeln!(out, "nothing is loaded")?,
    }
    if let Some(bundle) = &report.bundle {
        writeln!(out, "  bundle        {}", from(bundle))?;
    }
    if let Some(attested) = report.attested {
        writeln!(out, "  attested      {}", by(attested))?;
    }
    for (word, places) in [
        ("attached", &report.attached),
        ("detached", &report.detached),
    ] {
        for own in places {
            writeln!(out, "  {word}      {}", named(own))?;
        }
    }
    for swap in &report.swapped {
        writeln!(
            out,
            "  swapped       {}  {:.1} µs",
            swap.name, swap.microseconds
        )?;
    }
    Ok(())
}

fn named(own: &PlaceReport) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match own.kind {
        KindWord::Interface => format!(
            "{}  {} (interface {})",
            text(&own.endpoint),
            text(&own.interface),
            own.number
        ),
        KindWord::Cgroup => format!("{}  (cgroup {})", text(&own.cgroup), own.number),
    }
}

fn by(attested: Attestation) -> &'static str {
    match attested {
        Attestation::Kernel => "by the kernel's digests of its maps",
        Attestation::ReadBack => "by reading its maps back: this kernel computes no digests",
    }
}

fn from(bundle: &BundleReport) -> String {
    let fleet = bundle.fleet.as_deref();
    let fleet = fleet.map_or(String::new(), |fleet| format!(" of fleet {fleet}"));
    let manifest = bundle.manifest.get(..16).unwrap_or_default();
    format!(
        "generation {}{fleet}, manifest sha256 {manifest}, signature: {}",
        bundle.generation, bundle.signature
    )
}

/// What a node does.
pub(super) fn status(report: &StatusReport, out: &mut dyn Write) -> io::Result<()> {
    match &report.generation {
        Some(own) => {
            writeln!(
                out,
                "{}: generation {}, sha256 {}",
                report.root, own.number, own.sha256
            )?;
            let node = own.node.as_deref().unwrap_or("not known");
            writeln!(out, "  node          {node}")?;
            if let Some(bundle) = &own.bundle {
                writeln!(out, "  bundle        {}", from(bundle))?;
            }
            for left_out in &own.incomplete {
                writeln!(out, "  incomplete    {left_out}")?;
            }
            writeln!(out, "  attested      {}", by(own.attested))?;
        }
        None => writeln!(out, "{}: nothing is loaded", report.root)?,
    }
    if let Some(previous) = &report.previous {
        let (number, digest) = (previous.number, &previous.sha256);
        writeln!(out, "  rollback      generation {number}, sha256 {digest}")?;
    }
    writeln!(out, "  attachments")?;
    for own in &report.attachments {
        writeln!(out, "    {:<12}{}", own.state.text(), place(own))?;
    }
    writeln!(out, "  rules")?;
    for rule in &report.rules {
        writeln!(out, "    {}", decided(rule))?;
    }
    writeln!(out, "  reasons")?;
    for own in &report.reasons {
        let word = if own.passes { "passed" } else { "dropped" };
        writeln!(
            out,
            "    {:<12}{:>10} packets {:>12} bytes  {word}",
            own.reason, own.packets, own.bytes
        )?;
    }
    Ok(())
}

fn place(own: &AttachmentReport) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    match own.kind {
        KindWord::Interface => {
            let by = match own.hook {
                Some(HookReport::Clsact) => ", by clsact",
                Some(HookReport::Tcx) | None => "",
            };
            let interface = if own.elsewhere {
                "in another network namespace".to_owned()
            } else {
                text(&own.interface)
            };
            format!(
                "{}  {interface} (interface {}{by})",
                text(&own.endpoint),
                own.number
            )
        }
        KindWord::Cgroup => format!("{}  (cgroup {})", text(&own.cgroup), own.number),
    }
}

fn decided(rule: &RuleReport) -> String {
    let who = match (&rule.policy, &rule.rule) {
        (Some(policy), Some(path)) => format!("{policy} {path}"),
        (Some(policy), None) => format!("{policy} isolates, and no rule allows it"),
        (None, _) => "no policy has a say".to_owned(),
    };
    let place = match (&rule.file, rule.line) {
        (Some(file), Some(line)) => format!("  {file}:{line}"),
        _ => String::new(),
    };
    format!(
        "{:<9}{:>10} packets {:>12} bytes  {who}{place}",
        rule.action, rule.packets, rule.bytes
    )
}
