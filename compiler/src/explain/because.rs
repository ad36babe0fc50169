//! What settles a side, in one sentence.
//!
//! Input: a side as the spec engine judged it. Guarantee: every policy that the sentence names has a rule
//! that matches or may match, or isolates the end; the sentence is true whatever the open matches come to.

use super::report::Exempt;
use super::view::View;
use super::words::{list, once, verb};
use crate::hir::spec::{Side, Truth, Verdict};
use crate::hir::{Action, Auth, Policy, Resolution, Rule};

/// The sentence for a side.
pub(super) fn because(view: View<'_>, side: &Side) -> String {
    if let Some(exemption) = side.exempt {
        return exempt(view.exempt(exemption)).into();
    }
    let deciding = Deciding::new(view, side);
    match side.audited {
        Truth::No => settled(&deciding, side),
        Truth::Unknown => format!(
            "{}; what is denied is only recorded (`{AUDIT_MODE}`)",
            deciding.open()
        ),
        Truth::Yes if deciding.by(Action::Allow).is_empty() => {
            format!(
                "{}, which is only recorded (`{AUDIT_MODE}`)",
                deciding.denied()
            )
        }
        Truth::Yes => format!(
            "{} once the ends have proved who they are, and that they have not is only recorded (`{AUDIT_MODE}`)",
            deciding.allowed()
        ),
    }
}

/// The option of Cilium's under which nothing is denied.
const AUDIT_MODE: &str = "policy-audit-mode";

fn settled(deciding: &Deciding<'_>, side: &Side) -> String {
    match side.verdict {
        Verdict::Depends => deciding.open(),
        Verdict::Deny => deciding.denied(),
        Verdict::Allow | Verdict::Redirect => match side.auth {
            Some(auth @ (Auth::Required | Auth::AlwaysFails)) => {
                format!(
                    "{}, once the ends have proved who they are (`{auth}`)",
                    deciding.allowed()
                )
            }
            Some(Auth::Disabled) | None => deciding.allowed(),
        },
    }
}

fn exempt(exempt: Exempt) -> &'static str {
    match exempt {
        Exempt::Itself => "a pod cannot be kept from itself",
        Exempt::Outside => "no policy governs this end: it is outside the cluster",
        Exempt::Node => "no policy governs this end: it is a node",
        Exempt::NotEnforced => "the settings say that no policy is enforced",
        Exempt::FragmentationNeeded => "ICMP that asks for smaller packets always passes",
        Exempt::HostNetwork => {
            "no policy governs this end: it uses its node's network, and what becomes of policies that select such \
             a pod is left to the implementation"
        }
    }
}

/// What decides about a side.
struct Deciding<'a> {
    rules: Vec<(&'a Policy, &'a Rule)>,
    /// Each of them with its place and action.
    named: Vec<String>,
    /// The policies that isolate the end.
    isolating: Vec<String>,
    /// Whether the policies of the namespace are asked, so that isolation counts.
    isolated: bool,
    /// Whether both ends are one pod.
    with_itself: bool,
    /// Whether a rule that does match ends the search.
    settled: bool,
    /// Whether a proxy has a say.
    redirects: bool,
    /// Whether precedence decides.
    by_precedence: bool,
}

impl<'a> Deciding<'a> {
    fn new(view: View<'a>, side: &'a Side) -> Self {
        let rules: Vec<(&Policy, &Rule)> = view.rules(&side.rules).collect();
        let level = |policy: &Policy| (policy.tier, policy.priority);
        let last = rules.last().map(|(policy, _)| level(policy));
        let settled = rules.iter().any(|(policy, rule)| {
            Some(level(policy)) == last
                && rule.action != Action::Pass
                && view.matches(rule) == Truth::Yes
        });
        let isolating = side.isolated_by.iter();
        let isolating = isolating.filter_map(|id| view.context.policies.policy(*id));
        let named = rules.iter().map(|(policy, rule)| {
            let origin = view.context.policies.origin(rule.id);
            let path = origin.map_or("", |origin| &origin.path);
            format!("`{path}` of `{}` ({})", policy.object, rule.word())
        });
        Self {
            named: named.collect(),
            rules,
            isolating: isolating
                .map(|policy| format!("`{}`", policy.object))
                .collect(),
            isolated: view.is_isolated(side),
            with_itself: view.is_with_itself(),
            settled,
            redirects: side.verdict == Verdict::Redirect,
            by_precedence: matches!(view.context.policies.resolution, Resolution::Precedence(_)),
        }
    }

    fn of(&self, action: Action) -> impl Iterator<Item = &'a Policy> {
        let rules = self.rules.iter();
        rules
            .filter(move |(_, rule)| rule.action == action)
            .map(|(policy, _)| *policy)
    }

    /// The policies with a deciding rule of this action, each once.
    fn by(&self, action: Action) -> Vec<String> {
        once(self.of(action).map(|policy| format!("`{}`", policy.object)))
    }

    /// Who does what in which tier.
    fn acts(&self, action: Action, one: &str, several: &str) -> Option<String> {
        let policies = self.by(action);
        let tiers = once(self.of(action).map(|policy| policy.tier.to_string()));
        (!policies.is_empty()).then(|| {
            format!(
                "{} {} it in {} {}",
                list(&policies, "and"),
                verb(policies.len(), one, several),
                verb(tiers.len(), "tier", "tiers"),
                list(&tiers, "and")
            )
        })
    }

    fn passed(&self) -> Option<String> {
        let policies = self.by(Action::Pass);
        let verb = verb(policies.len(), "passes", "pass");
        (!policies.is_empty()).then(|| format!("{} {verb} it on", list(&policies, "and")))
    }

    /// Who isolates.
    fn isolation(&self) -> String {
        if self.isolating.is_empty() {
            return "the settings isolate every end".into();
        }
        let verb = verb(self.isolating.len(), "isolates", "isolate");
        format!("{} {verb} this end", list(&self.isolating, "and"))
    }

    fn denied(&self) -> String {
        let denied = self.acts(Action::Deny, "denies", "deny");
        let silence = || format!("{}, and no rule allows the flow", self.isolation());
        let silence = self.isolated.then(silence);
        let reasons: Vec<String> = [denied, silence].into_iter().flatten().collect();
        let passed = self.passed().map(|passed| format!("{passed}, and "));
        format!("{}{}", passed.unwrap_or_default(), reasons.join("; else "))
    }

    fn allowed(&self) -> String {
        let allowed = if self.redirects {
            self.acts(Action::Allow, "redirects", "redirect")
        } else {
            self.acts(Action::Allow, "allows", "allow")
        };
        match (self.passed(), allowed) {
            (None, Some(allowed)) if self.settled => allowed,
            (None, Some(allowed)) => {
                format!("{allowed}, or nothing decides, which allows it too")
            }
            (Some(passed), Some(allowed)) => format!("{passed}, and {allowed}"),
            (Some(passed), None) => format!("{passed}, and nothing after that denies it"),
            (None, None) if self.isolating.is_empty() => {
                "no policy isolates this end, and no rule matches".into()
            }
            (None, None) => {
                let always = match (self.with_itself, self.by_precedence) {
                    (true, _) => "a pod always reaches itself",
                    (false, false) => "a pod and its own node always reach each other",
                    (false, true) => "the node of a pod reaches it where no rule denies that",
                };
                format!("{always}, though {}", self.isolation())
            }
        }
    }

    fn open(&self) -> String {
        let mut deciders = self.named.clone();
        if !self.settled {
            let silence = if self.isolated {
                "isolation (deny)"
            } else {
                "nothing (allow)"
            };
            deciders.push(silence.into());
        }
        format!("it is open what decides: {}", list(&deciders, "or"))
    }
}
