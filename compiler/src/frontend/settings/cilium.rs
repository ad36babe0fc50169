//! The options of Cilium's agent that change what its policies mean, under the names that Cilium gives them.
//!
//! Input: a name and the text of its value, as a `cilium-config` ConfigMap or the table `[cilium]` of
//! `verdict.toml` has them. Output: [`Options`]. Guarantee: what is given twice is taken from where it was given
//! first, so that the settings, which are read first, win over the ConfigMap. Names, defaults and spellings of
//! values are those of `pkg/option` of Cilium 1.20; where ours differ, the option says so.

use std::collections::{BTreeMap, BTreeSet};

/// A type of option: how its values are written.
trait Value: Sized {
    /// What its values look like, for messages.
    const WANTED: &'static str;
    /// The words that it takes, if there are only a few.
    const WORDS: &'static [&'static str] = &[];
    /// The JSON types in which its values may be written.
    const TYPES: &'static [&'static str] = &["string"];

    fn read(text: &str) -> Option<Self>;
}

/// An option as documentation and messages need it.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// Cilium's name.
    pub name: &'static str,
    /// What its values look like.
    pub wanted: &'static str,
    /// The words that it takes, if there are only a few.
    pub words: &'static [&'static str],
    /// The JSON types in which its values may be written.
    pub types: &'static [&'static str],
    /// What it does.
    pub about: &'static str,
}

/// Where a value was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the settings.
    Settings,
    /// In the ConfigMap of a cluster.
    ConfigMap,
}

macro_rules! options {
    ($($(#[doc = $about:literal])+ $field:ident: $type:ty = $name:literal, $default:expr;)*) => {
        /// The options, each with its value.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Options {
            $($(#[doc = $about])+ pub $field: $type,)*
            /// The names of those that the settings give.
            given: BTreeSet<&'static str>,
        }

        impl Default for Options {
            fn default() -> Self {
                Self {
                    $($field: $default,)*
                    given: BTreeSet::new(),
                }
            }
        }

        /// Every option, in the order of the documentation.
        pub const ALL: &[Described] = &[$(Described {
            name: $name,
            wanted: <$type as Value>::WANTED,
            words: <$type as Value>::WORDS,
            types: <$type as Value>::TYPES,
            about: concat!($($about),+),
        }),*];

        impl Options {
            /// Takes over a value; `None` where the text is no value of the option, or there is no such option.
            pub fn give(&mut self, name: &str, text: &str, origin: Origin) -> Option<()> {
                match name {
                    $($name => {
                        let value = <$type as Value>::read(text.trim())?;
                        match origin {
                            Origin::Settings => {
                                self.$field = value;
                                self.given.insert($name);
                            }
                            Origin::ConfigMap if self.given.contains($name) => {}
                            Origin::ConfigMap => self.$field = value,
                        }
                    })*
                    _ => return None,
                }
                Some(())
            }
        }
    };
}

options! {
    /// The release whose behaviour is asked for: `1.20` or `1.19`. Not an option of the agent.
    version: Version = "version", Version::V1_20;
    /// When a direction of an endpoint denies what no rule allows: `default`, where a rule selects it; `always`;
    /// `never`, in which case no policy is enforced.
    enable_policy: EnablePolicy = "enable-policy", EnablePolicy::Default;
    /// Whether the local host may always reach its pods; `auto` is `always` under Kubernetes.
    allow_localhost: AllowLocalhost = "allow-localhost", AllowLocalhost::Auto;
    /// Whether peers of a policy are those of the local cluster unless they name another.
    policy_default_local_cluster: bool = "policy-default-local-cluster", true;
    /// The name of the local cluster.
    cluster_name: String = "cluster-name", "default".to_owned();
    /// The number of the local cluster in a mesh; 0 stands for none.
    cluster_id: u32 = "cluster-id", 0;
    /// How many clusters a mesh may have: 255 or 511.
    max_connected_clusters: u32 = "max-connected-clusters", 255;
    /// Whether endpoints have IPv4 addresses.
    enable_ipv4: bool = "enable-ipv4", true;
    /// Whether endpoints have IPv6 addresses.
    enable_ipv6: bool = "enable-ipv6", true;
    /// Whether `enableDefaultDeny` of a rule counts; otherwise every rule denies the rest by default.
    enable_non_default_deny_policies: bool = "enable-non-default-deny-policies", true;
    /// What blocks of addresses match besides the outside: `nodes`, `pods`.
    policy_cidr_match_mode: CidrMatchMode = "policy-cidr-match-mode", CidrMatchMode::default();
    /// Whether nodes have identities with their labels, so that `fromNodes` and `toNodes` may be used.
    enable_node_selector_labels: bool = "enable-node-selector-labels", false;
    /// The filter for the labels of nodes that are part of their identities.
    node_labels: Words = "node-labels", Words::default();
    /// The filter for the labels that are part of identities.
    labels: LabelStarts = "labels", LabelStarts::default();
    /// The file with that filter, on the node.
    label_prefix_file: String = "label-prefix-file", String::new();
    /// Whether policies govern the nodes themselves.
    enable_host_firewall: bool = "enable-host-firewall", false;
    /// Whether rules on HTTP and DNS are enforced; otherwise they are refused.
    enable_l7_proxy: bool = "enable-l7-proxy", true;
    /// Whether rules on ICMP are enforced; otherwise they are refused.
    enable_icmp_rules: bool = "enable-icmp-rules", true;
    /// Whether ICMP that reports a packet as too large always passes.
    allow_icmp_frag_needed: bool = "allow-icmp-frag-needed", true;
    /// Whether SCTP is forwarded.
    enable_sctp: bool = "enable-sctp", false;
    /// Whether protocols without ports may be named, and ports left out.
    enable_extended_ip_protocols: bool = "enable-extended-ip-protocols", false;
    /// Whether later fragments of IPv4 packets are told by their first.
    enable_ipv4_fragment_tracking: bool = "enable-ipv4-fragment-tracking", true;
    /// Whether later fragments of IPv6 packets are told by their first.
    enable_ipv6_fragment_tracking: bool = "enable-ipv6-fragment-tracking", true;
    /// Whether what policies deny is let through and only recorded.
    policy_audit_mode: bool = "policy-audit-mode", false;
    /// What a pod hears whose egress is denied: `none`, `icmp`.
    policy_deny_response: DenyResponse = "policy-deny-response", DenyResponse::None;
    /// Whether NetworkPolicies are enforced.
    enable_k8s_networkpolicy: bool = "enable-k8s-networkpolicy", true;
    /// Whether CiliumNetworkPolicies are enforced.
    enable_cilium_network_policy: bool = "enable-cilium-network-policy", true;
    /// Whether CiliumClusterwideNetworkPolicies are enforced.
    enable_cilium_clusterwide_network_policy: bool =
        "enable-cilium-clusterwide-network-policy", true;
    /// Whether ClusterNetworkPolicies are enforced. Cilium's own default is `false`; here one among the inputs is
    /// taken to be meant.
    enable_k8s_cluster_network_policy: bool = "enable-k8s-cluster-network-policy", true;
    /// Whether connections may be required to be authenticated.
    mesh_auth_enabled: bool = "mesh-auth-enabled", false;
    /// How many entries the policy map of an endpoint holds.
    bpf_policy_map_max: u32 = "bpf-policy-map-max", 16384;
    /// Whether an endpoint whose policy map is too small denies everything.
    enable_endpoint_lockdown_on_policy_overflow: bool =
        "enable-endpoint-lockdown-on-policy-overflow", false;
    /// Whether some well-known pods have fixed identities.
    enable_well_known_identities: bool = "enable-well-known-identities", true;
    /// Fixed identities from 128 to 255, as `128=name,129=other`.
    fixed_identity_mapping: Numbered = "fixed-identity-mapping", Numbered::default();
    /// For how many seconds a DNS answer counts at least.
    tofqdns_min_ttl: u32 = "tofqdns-min-ttl", 0;
    /// How many addresses of a name count for an endpoint.
    tofqdns_endpoint_max_ip_per_hostname: u32 = "tofqdns-endpoint-max-ip-per-hostname", 1000;
    /// How many addresses of connections that outlive their DNS answers count.
    tofqdns_max_deferred_connection_deletes: u32 = "tofqdns-max-deferred-connection-deletes", 10000;
    /// For how long an idle connection outlives its DNS answer.
    tofqdns_idle_connection_grace_period: String =
        "tofqdns-idle-connection-grace-period", "0s".to_owned();
    /// The UDP port of the tunnel between nodes; 0 stands for the protocol's own.
    tunnel_port: u32 = "tunnel-port", 0;
}

impl Options {
    /// Those that are set to something else than their default, and that no answer takes notice of.
    #[must_use]
    pub fn not_modelled(&self) -> Vec<&'static str> {
        let usual = Self::default();
        let set = [
            (
                self.label_prefix_file != usual.label_prefix_file,
                "label-prefix-file",
            ),
            (self.enable_sctp != usual.enable_sctp, "enable-sctp"),
            (
                self.max_connected_clusters != usual.max_connected_clusters,
                "max-connected-clusters",
            ),
            (
                self.policy_deny_response != usual.policy_deny_response,
                "policy-deny-response",
            ),
            (
                self.mesh_auth_enabled != usual.mesh_auth_enabled,
                "mesh-auth-enabled",
            ),
            (
                self.enable_ipv4_fragment_tracking != usual.enable_ipv4_fragment_tracking,
                "enable-ipv4-fragment-tracking",
            ),
            (
                self.enable_ipv6_fragment_tracking != usual.enable_ipv6_fragment_tracking,
                "enable-ipv6-fragment-tracking",
            ),
            (
                self.enable_endpoint_lockdown_on_policy_overflow
                    != usual.enable_endpoint_lockdown_on_policy_overflow,
                "enable-endpoint-lockdown-on-policy-overflow",
            ),
            (
                self.enable_well_known_identities != usual.enable_well_known_identities,
                "enable-well-known-identities",
            ),
            (
                self.fixed_identity_mapping != usual.fixed_identity_mapping,
                "fixed-identity-mapping",
            ),
            (self.tunnel_port != usual.tunnel_port, "tunnel-port"),
            (
                self.tofqdns_endpoint_max_ip_per_hostname
                    != usual.tofqdns_endpoint_max_ip_per_hostname,
                "tofqdns-endpoint-max-ip-per-hostname",
            ),
            (
                self.tofqdns_max_deferred_connection_deletes
                    != usual.tofqdns_max_deferred_connection_deletes,
                "tofqdns-max-deferred-connection-deletes",
            ),
            (
                self.tofqdns_idle_connection_grace_period
                    != usual.tofqdns_idle_connection_grace_period,
                "tofqdns-idle-connection-grace-period",
            ),
            (self.node_labels != usual.node_labels, "node-labels"),
        ];
        let set = set.into_iter().filter(|(is_set, _)| *is_set);
        set.map(|(_, name)| name).collect()
    }
}

/// The name of the one option that is ours: a ConfigMap cannot give it.
pub const VERSION: &str = "version";

/// The option of a name.
#[must_use]
pub fn described(name: &str) -> Option<&'static Described> {
    ALL.iter().find(|option| option.name == name)
}

macro_rules! words {
    ($(#[doc = $about:literal])+ $name:ident, $wanted:literal: $($(#[doc = $doc:literal])+ $variant:ident = $word:literal;)*) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Value for $name {
            const WANTED: &'static str = $wanted;
            const WORDS: &'static [&'static str] = &[$($word),*];

            fn read(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// A release of Cilium.
    Version, "`1.20` or `1.19`":
    /// Cilium 1.19.
    V1_19 = "1.19";
    /// Cilium 1.20.
    V1_20 = "1.20";
}

words! {
    /// When policy is enforced.
    EnablePolicy, "`default`, `always` or `never`":
    /// Where a rule selects the endpoint.
    Default = "default";
    /// Everywhere.
    Always = "always";
    /// Nowhere.
    Never = "never";
}

words! {
    /// Whether the local host reaches its pods.
    AllowLocalhost, "`auto`, `always` or `policy`":
    /// As `Always` under Kubernetes.
    Auto = "auto";
    /// Unless a rule denies it.
    Always = "always";
    /// Where a rule allows it.
    Policy = "policy";
}

words! {
    /// What the sender of a denied packet hears.
    DenyResponse, "`none` or `icmp`":
    /// Nothing.
    None = "none";
    /// An ICMP message.
    Icmp = "icmp";
}

/// What blocks of addresses match besides the outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CidrMatchMode {
    /// Nodes.
    pub nodes: bool,
    /// Pods.
    pub pods: bool,
}

/// Words in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

/// Starts of labels, of the regular expressions that Cilium takes those that are read: any other is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelStarts(pub Vec<String>);

/// Texts by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbered(pub BTreeMap<u32, String>);

/// The words of a list; Cilium separates them by blanks in its ConfigMap, by commas on its command line.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let is_between = |sign: char| sign == ',' || sign.is_whitespace();
    text.split(is_between).filter(|word| !word.is_empty())
}

impl Value for bool {
    const WANTED: &'static str = "`true` or `false`";
    const TYPES: &'static [&'static str] = &["boolean", "string"];

    /// As Go's `strconv.ParseBool`.
    fn read(text: &str) -> Option<Self> {
        match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        }
    }
}

impl Value for u32 {
    const WANTED: &'static str = "a whole number";
    const TYPES: &'static [&'static str] = &["integer", "string"];

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for String {
    const WANTED: &'static str = "a text";

    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Value for Words {
    const WANTED: &'static str = "a list of texts";
    const TYPES: &'static [&'static str] = &["array", "string"];

    fn read(text: &str) -> Option<Self> {
        Some(Self(split(text).map(str::to_owned).collect()))
    }
}

impl Value for LabelStarts {
    const WANTED: &'static str =
        "a list of `[source:][!]start`, where `.` stands for any sign and `.*` for any signs";
    const TYPES: &'static [&'static str] = &["array", "string"];

    fn read(text: &str) -> Option<Self> {
        let starts: Vec<String> = split(text).map(str::to_owned).collect();
        let is_more = |sign: char| "()[]{}|+?^$".contains(sign);
        let reads = starts.iter().all(|start| !start.contains(is_more));
        reads.then_some(Self(starts))
    }
}

impl Value for CidrMatchMode {
    const WANTED: &'static str = "a list of `nodes` and `pods`";
    const TYPES: &'static [&'static str] = &["array", "string"];

    fn read(text: &str) -> Option<Self> {
        let mut mode = Self::default();
        for word in split(text) {
            match word {
                "nodes" => mode.nodes = true,
                "pods" => mode.pods = true,
                _ => return None,
            }
        }
        Some(mode)
    }
}

impl Value for Numbered {
    const WANTED: &'static str = "pairs such as `128=name`";

    fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix('{').unwrap_or(text);
        let text = text.strip_suffix('}').unwrap_or(text);
        let pairs = split(text).map(|pair| {
            let (number, name) = pair.split_once('=')?;
            Some((number.parse().ok()?, name.to_owned()))
        });
        pairs.collect::<Option<_>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_cilium_reads_them() {
        let mut options = Options::default();
        for (name, text) in [
            ("enable-policy", "always"),
            ("enable-ipv6", "False"),
            ("policy-cidr-match-mode", "nodes pods"),
            ("labels", "k8s:app,k8s:tier k8s:!x"),
            ("fixed-identity-mapping", "128=a,129=b"),
            ("version", "1.19"),
        ] {
            assert_eq!(
                options.give(name, text, Origin::ConfigMap),
                Some(()),
                "{name}={text}"
            );
        }
        assert_eq!(options.enable_policy, EnablePolicy::Always);
        assert!(!options.enable_ipv6);
        assert!(options.policy_cidr_match_mode.nodes && options.policy_cidr_match_mode.pods);
        assert_eq!(options.labels.0, ["k8s:app", "k8s:tier", "k8s:!x"]);
        assert_eq!(options.fixed_identity_mapping.0[&129], "b");
        assert_eq!(options.version, Version::V1_19);
        for (name, text) in [
            ("enable-policy", "sometimes"),
            ("labels", "k8s:(app|tier)"),
            ("enable-ipv4", "yes"),
            ("cluster-id", "-1"),
            ("policy-cidr-match-mode", "world"),
            ("no-such-option", "true"),
        ] {
            assert_eq!(
                options.give(name, text, Origin::ConfigMap),
                None,
                "{name}={text}"
            );
        }
    }

    #[test]
    fn settings_win() {
        let mut options = Options::default();
        options.give("enable-sctp", "false", Origin::Settings);
        options.give("enable-sctp", "true", Origin::Settings);
        options.give("enable-sctp", "false", Origin::ConfigMap);
        assert!(options.enable_sctp);
    }
}
