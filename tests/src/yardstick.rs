//! The policy sets of Cilium's two benchmarks of address blocks, re-created: 1,000 rules for nested blocks, and the same with
//! a rule each that denies (`BenchmarkRegenerateCIDRPolicyRules` and `BenchmarkRegenerateCIDRDenyPolicyRules` of
//! `pkg/policy`).

use std::fmt::Write;

/// How many rules of each kind.
const RULES: usize = 1000;
/// By how much the rules that deny are ahead in the plan of addresses.
const AHEAD: usize = 773;

/// After how many rules the parts of a plan of addresses are the same again.
#[derive(Clone, Copy)]
struct Plan {
    second: usize,
    third: usize,
    fourth_of_28: usize,
    fourth_of_32: usize,
    port: usize,
    length: usize,
}

const ALLOWED: Plan = Plan {
    second: 17,
    third: 121,
    fourth_of_28: 16,
    fourth_of_32: 255,
    port: 97,
    length: 0,
};

const DENIED: Plan = Plan {
    second: 23,
    third: 119,
    fourth_of_28: 15,
    fourth_of_32: 253,
    port: 131,
    length: 21,
};

impl Plan {
    /// The block and the port of a rule.
    fn rule(self, index: usize) -> (String, usize) {
        let first = [10, 192, 244][index % 3];
        let second = index % self.second;
        let third = index % self.third;
        let block = match (index + self.length) % 5 {
            0 => format!("{first}.0.0.0/8"),
            1 => format!("{first}.{second}.0.0/16"),
            2 => format!("{first}.{second}.{third}.0/24"),
            3 => {
                let fourth = (index % self.fourth_of_28) << 4;
                format!("{first}.{second}.{third}.{fourth}/28")
            }
            _ => format!("{first}.{second}.{third}.{}/32", index % self.fourth_of_32),
        };
        (block, 80 + index % self.port)
    }
}

/// The manifests: pods on a node, each of an identity of its own, and the policies, which govern all of them.
#[must_use]
pub fn blocks(denies: bool, pods: u8) -> String {
    let mut text = String::from(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n---\n\
         apiVersion: v1\nkind: Node\nmetadata: {name: one}\n\
         status: {addresses: [{type: InternalIP, address: 172.16.0.1}]}\n",
    );
    for pod in 1..=pods {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Pod\n\
             metadata: {{name: foo-{pod}, namespace: default, labels: {{foo: \"\", one: n{pod}}}}}\n\
             spec: {{nodeName: one, containers: [{{name: c}}]}}\nstatus: {{podIP: 172.16.1.{pod}}}\n"
        );
    }
    for index in 1..=RULES {
        let (block, port) = ALLOWED.rule(index);
        let _ = write!(
            text,
            "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n\
             metadata: {{name: cidr-{index}, namespace: default}}\nspec:\n  \
             endpointSelector: {{matchLabels: {{\"k8s:foo\": \"\"}}}}\n  \
             egress: [{{toCIDR: [\"{block}\"], toPorts: [{{ports: [{{port: \"{port}\", protocol: TCP}}]}}]}}]\n"
        );
        if denies {
            let (block, port) = DENIED.rule(index + AHEAD);
            let _ = writeln!(
                text,
                "  egressDeny: [{{toCIDR: [\"{block}\"], toPorts: [{{ports: [{{port: \"{port}\", protocol: TCP}}]}}]}}]"
            );
        }
    }
    text
}
