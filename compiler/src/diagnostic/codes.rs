//! Every code, once. Ranges: `V00` reading text and YAML, `V01` shape and fields, `V02` values that the API
//! server or the enforcing agent refuses, `V03` the cluster, `V04` policies that mean something else than they
//! seem to, `V05` questions (peers, ports, settings), `V06` traces, `V07` images, `V09` verdict itself.

use super::Code;
use super::Severity::{Error, Note, Warning};

macro_rules! codes {
    ($($name:ident = $id:literal, $severity:ident, $title:literal;)*) => {
        $(
            #[doc = $title]
            pub static $name: Code = Code { id: $id, severity: $severity, title: $title };
        )*

        /// Every code, sorted by id.
        pub static ALL: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    // V00: reading text and YAML
    UNREADABLE = "V0001", Error, "a file or folder cannot be read";
    NOT_TEXT = "V0002", Error, "the file is not text";
    TOO_LARGE = "V0003", Error, "the input is larger than what is read";
    NOTHING_TO_READ = "V0004", Error, "there is nothing to read";
    YAML_SYNTAX = "V0010", Error, "the text is not YAML";
    JSON_SYNTAX = "V0011", Error, "the text is not JSON";
    EXCESSIVE_ALIASING = "V0012", Error, "aliases expand to too much";
    TOO_DEEP = "V0013", Error, "the document is nested too deeply";
    DUPLICATE_KEY = "V0014", Warning, "a key stands twice";
    SURPRISING_SCALAR = "V0015", Warning, "kubectl reads a value otherwise than it looks";
    SURPRISING_KEY = "V0016", Warning, "kubectl reads a key otherwise than it looks";
    IGNORED_TEXT = "V0017", Warning, "text behind the end of a document";
    // V01: shape and fields
    UNKNOWN_FIELD = "V0101", Error, "a field that does not exist";
    WRONG_TYPE = "V0102", Error, "a value of the wrong type";
    MISSING_FIELD = "V0103", Error, "a required field is missing";
    NOT_AN_OBJECT = "V0104", Error, "a document that is no Kubernetes object";
    UNKNOWN_KIND = "V0105", Note, "a kind that is not read";
    UNSUPPORTED_POLICY = "V0106", Warning, "a policy kind that changes verdicts and is not read";
    NULL_ITEM = "V0107", Warning, "an empty list item";
    DUPLICATE_OBJECT = "V0108", Error, "an object is defined twice";
    WRONG_VERSION = "V0109", Error, "a known kind in another version";
    MISSPELT_KIND = "V0110", Error, "a kind that does not exist";
    FOREIGN_POLICY = "V0111", Warning, "a policy of another dialect";
    IGNORED_POLICY = "V0112", Warning, "a policy that nobody enforces";
    // V02: values that the API server refuses
    INVALID_VALUE = "V0201", Error, "a value that the API server refuses";
    UNSUPPORTED_VALUE = "V0202", Error, "a value that is not one of the allowed ones";
    REQUIRED_VALUE = "V0203", Error, "a value that the API server requires";
    FORBIDDEN_VALUE = "V0204", Error, "a field that may not be set here";
    TOO_MANY = "V0205", Error, "more items or characters than allowed";
    TOO_FEW = "V0206", Error, "fewer items than required";
    RULE_VIOLATED = "V0207", Error, "a validation rule of the resource is violated";
    LEGACY_ADDRESS = "V0208", Warning, "an address that newer API servers refuse";
    NAMESPACE_DROPPED = "V0209", Warning, "a namespace on an object that lives in none";
    INVALID_ADDRESS = "V0210", Error, "text that is not an address or block of addresses";
    INVALID_PORT = "V0211", Error, "a port that cannot exist";
    INVALID_NAME = "V0212", Error, "a name that no object can have";
    INVALID_LABEL = "V0213", Error, "a label that no object can have";
    DUPLICATE_ITEM = "V0214", Error, "an item stands twice in a set";
    OUT_OF_RANGE = "V0215", Error, "a number outside its range";
    ONE_FIELD_ONLY = "V0216", Error, "not exactly one of several fields is set";
    USELESS_EXCEPTION = "V0217", Error, "an exception that is not part of its block";
    UNUSABLE_VALUE = "V0218", Warning, "a value that is accepted and has no meaning";
    NO_DIRECTION = "V0221", Error, "a policy of Cilium without a rule";
    MISPLACED_NODE_SELECTOR = "V0222", Error, "a policy of a namespace that selects nodes";
    COMBINED_PEERS = "V0223", Error, "peers of two kinds in one rule";
    OPTION_OFF = "V0224", Error, "a rule that needs an option which is off";
    AGENT_SELECTOR = "V0225", Error, "a selector that Cilium's agent refuses";
    AGENT_ADDRESS = "V0226", Error, "a block of addresses that Cilium's agent cannot read";
    ICMP_BESIDE_PORTS = "V0227", Error, "ICMP and ports in one rule";
    AGENT_PORT = "V0228", Error, "a port that Cilium's agent refuses";
    MISPLACED_L7 = "V0229", Error, "rules on HTTP or DNS where Cilium's agent takes none";
    MISPLACED_LISTENER = "V0230", Error, "a listener where Cilium's agent takes none";
    MISPLACED_SERVER_NAMES = "V0231", Error, "server names beside rules on HTTP or DNS";
    BAD_REGEXP = "V0232", Error, "a regular expression that does not compile";
    AGENT_VALUE = "V0233", Error, "a value that Cilium's agent refuses";
    // V03: the cluster
    UNDEFINED_NAMESPACE = "V0301", Note, "a namespace is referred to but not defined";
    UNDEFINED_NODE = "V0302", Note, "a node is named but not defined";
    UNDEFINED_OWNER = "V0303", Note, "a pod's owner is not defined";
    SHARED_ADDRESS = "V0304", Warning, "an address has two owners";
    NODE_ADDRESS = "V0305", Warning, "a pod has the address of a node";
    NO_ADDRESS = "V0306", Note, "a pod has no address";
    FINISHED_POD = "V0307", Note, "a pod has finished";
    UNUSABLE_ADDRESS = "V0308", Warning, "an address that is none";
    UNDEFINED_SERVICE = "V0309", Note, "endpoints of a service that is not defined";
    UNRESOLVED_TARGET_PORT = "V0310", Warning, "a service leads to a port that its pods do not have";
    SHARED_SERVICE_ADDRESS = "V0311", Warning, "an address belongs to two services";
    // V04: policies that mean something else than they seem to
    SELECTS_NOTHING = "V0401", Note, "a policy selects nothing of the snapshot";
    UNKNOWN_PORT_NAME = "V0402", Warning, "a port name that no pod has";
    EQUAL_PRIORITY = "V0403", Warning, "policies of equal priority that may contradict each other";
    HOST_NETWORK_ONLY = "V0404", Warning, "a policy selects pods that it may not govern";
    IGNORED_RULES = "V0405", Warning, "rules of a direction that the policy does not govern";
    ISOLATES_NOTHING = "V0406", Warning, "an empty list of rules that isolates nothing";
    PEER_SELECTS_NOTHING = "V0407", Note, "a peer selects nothing of the snapshot";
    CONTRADICTION = "V0408", Warning, "a selector that nothing can match";
    DOMAIN_NOT_ALLOWED = "V0409", Warning, "domain names in a rule that does not allow";
    CONFLICTING_RULES = "V0410", Error, "rules that cannot be enforced together";
    EMPTY_PEERS = "V0411", Warning, "an empty list of peers that matches nothing";
    FAIL_OPEN_PEERS = "V0412", Warning, "an empty list of peers that matches everything";
    NO_PORTS = "V0413", Warning, "ports or ICMP types that match nothing";
    PORT_SPELLING = "V0414", Warning, "a port that Cilium reads otherwise than it looks";
    END_PORT_IGNORED = "V0415", Warning, "the end of a range that Cilium ignores";
    ALL_ICMP = "V0416", Warning, "an ICMP type that stands for all";
    NAMES_WITHOUT_DNS = "V0417", Note, "domain names without a rule on DNS";
    STARS = "V0418", Warning, "stars that match less than they seem to";
    SUBJECT_NAMESPACE = "V0419", Warning, "a subject in another namespace than its policy";
    RESERVED_ENDPOINTS = "V0420", Note, "a policy that governs Cilium's own endpoints";
    MATCHES_AGGREGATES = "V0421", Warning, "a selector that matches more than it names";
    OTHER_FAMILY = "V0422", Warning, "addresses of a family that is off";
    FAIL_OPEN_SERVICES = "V0423", Warning, "a service that leads nowhere, or whose pods are not found";
    BLOCK_OF_PODS = "V0424", Warning, "a block with addresses of pods or nodes, which it does not match";
    BLOCK_OF_SERVICE = "V0425", Warning, "a block with the address of a service, which it does not match";
    SERVICE_PORT = "V0426", Warning, "a port of a service where that of its pods is meant";
    DENIED_BLOCK = "V0427", Warning, "a block that is allowed within one that is denied";
    ONLY_TLS = "V0428", Note, "server names, which leave nothing but TLS";
    NOT_ENFORCED = "V0429", Warning, "policies that are only recorded";
    PROXIED_ANYWAY = "V0430", Note, "a rule whose packets go by way of a proxy all the same";
    OWN_NODE = "V0431", Note, "a rule for the node of a pod, which reaches it anyway";
    PORTS_OF_REPLIES = "V0432", Note, "a range of ports as replies have them";
    // V05: questions
    MALFORMED_PEER = "V0501", Error, "a peer that cannot be read";
    UNKNOWN_PEER = "V0502", Error, "a peer that does not exist";
    AMBIGUOUS_PEER = "V0503", Error, "a peer that may be several things";
    UNKNOWN_NAMESPACE = "V0504", Error, "a namespace that does not exist";
    MALFORMED_PORT = "V0505", Error, "a port that cannot be read";
    UNSUPPORTED_ENTITY = "V0506", Error, "an entity that is no end of a question";
    SERVICE_ADDRESS = "V0507", Note, "an address that belongs to a service";
    NO_BACKEND = "V0508", Error, "a service leads nowhere";
    UNKNOWN_PORT = "V0509", Error, "a port name that the destination does not have";
    UNSEEN_POD = "V0510", Note, "an address of pods that no pod of the snapshot has";
    NO_SUCH_END = "V0511", Note, "an address that no end of a connection has";
    NO_COMMON_FAMILY = "V0512", Error, "two ends without a common address family";
    ON_NETWORK_OF_NODE = "V0513", Note, "a pod on the network of its node";
    NOT_LISTED = "V0521", Error, "a peer whose connections cannot be listed";
    TOO_MANY_CONNECTIONS = "V0522", Error, "more connections than are written one by one";
    NOTHING_TO_LIST = "V0523", Error, "there is nothing to list";
    NOTHING_TO_COMPARE = "V0531", Error, "there is nothing to compare";
    OTHER_CLUSTER = "V0532", Note, "one side of a comparison has no cluster";
    NOBODY_ON_ONE_SIDE = "V0533", Warning, "one side of a comparison has no workloads";
    SETTINGS_SYNTAX = "V0541", Error, "the settings are not TOML";
    UNKNOWN_SETTING = "V0542", Error, "a setting that does not exist";
    SETTING_VALUE = "V0543", Error, "a setting has a value that it does not take";
    DIALECT_NOT_READ = "V0544", Error, "a dialect that this version does not read";
    SETTING_IGNORED = "V0545", Note, "a setting that has no effect";
    DIALECT_NOT_JUDGED = "V0546", Error, "a question that is not answered in the dialect";
    // V06: traces
    RECORD_SYNTAX = "V0601", Error, "a line of a trace is not JSON";
    RECORD_FIELD = "V0602", Error, "a field of a record is missing, unknown or of the wrong type";
    RECORD_VALUE = "V0603", Error, "a value of a record that makes no sense";
    RECORD_TOO_LONG = "V0604", Error, "a line of a trace is too long";
    NO_RECORDS = "V0605", Error, "a trace without records";
    CAPTURE_CUT_OFF = "V0606", Warning, "a capture that ends too early";
    CAPTURE_BROKEN = "V0607", Error, "a part of a capture makes no sense";
    CAPTURE_DAMAGED = "V0608", Error, "a packed trace is damaged";
    LINK_TYPE = "V0609", Error, "packets of a link that is not read";
    UNEXPLAINED_TRANSLATION = "V0610", Warning, "a connection that is translated by something unknown";
    NO_TRACE = "V0611", Error, "a file that is no trace";
    // V07: images
    IMAGE_LIMIT = "V0701", Error, "an image has no room for something";
    NO_IMAGE = "V0702", Error, "a file is no image, or a damaged one";
    IMAGE_DISAGREES = "V0703", Error, "an image does not say what the manifests say";
    NO_DUMP = "V0704", Error, "what a node holds cannot be read";
    NO_BUNDLE = "V0705", Error, "a bundle cannot be read";
    CHUNK_MISSING = "V0706", Error, "a chunk of a bundle is missing";
    CHUNK_DAMAGED = "V0707", Error, "a chunk of a bundle is another than its name says";
    BAD_SIGNATURE = "V0708", Error, "a bundle is not signed by the key";
    BAD_KEY = "V0709", Error, "a key cannot be read";
    OTHER_FLEET = "V0710", Error, "a bundle of another fleet";
    OLD_GENERATION = "V0711", Error, "a generation that has been replaced";
    TWO_NODES = "V0712", Error, "a bundle with two nodes of one name";
    CACHE_NOT_USED = "V0713", Note, "a cache that is not used";
    NO_NODE = "V0714", Error, "an image or a bundle is not for the node";
    NOTHING_TO_COMPILE = "V0720", Error, "there is nothing to compile";
    MAP_OVERFLOW = "V0721", Warning, "a policy map with more entries than Cilium has room for";
    // V08: a node
    NODE_LACKS = "V0801", Error, "the node lacks what enforcement needs";
    OTHER_DIGEST = "V0802", Error, "an image is another one than expected";
    NOT_LOADED = "V0803", Error, "the kernel does not take an image";
    NOT_ATTESTED = "V0804", Error, "what the kernel holds is not the image";
    NOT_ATTACHED = "V0805", Error, "an endpoint cannot be attached";
    ENDPOINT_CLOSED = "V0806", Warning, "an endpoint is closed";
    NO_GENERATION = "V0807", Error, "there is no generation";
    NODE_BUSY = "V0808", Error, "another command is at work on the node";
    PINS_UNUSABLE = "V0809", Error, "the pins of a node cannot be read or written";
    INTERFACE_GONE = "V0810", Warning, "what was attached is gone";
    IMAGE_INCOMPLETE = "V0811", Warning, "an image that lacks something";
    SEVERAL_INTERFACES = "V0812", Warning, "a pod is protected at several interfaces";
    NO_PROXY = "V0813", Warning, "packets that a proxy should judge are dropped";
    // V09: verdict itself
    INTERNAL = "V0901", Error, "a bug in verdict";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_sorted_and_unique() {
        assert!(ALL.windows(2).all(|pair| pair[0].id < pair[1].id));
    }
}
