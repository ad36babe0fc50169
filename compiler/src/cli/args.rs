//! The arguments of every command that exists, and their help.
//!
//! Input: the command line. Output: [`Args`]. Bad usage ends the process with exit code 2, help and version
//! with 0. Where the program is called `kubectl-verdict`, it shows itself as `kubectl verdict`.

mod bundle;

pub use bundle::{BundleForm, CompileBundle, ImageDiff, ImageExtract, ImageGc, ImageVerify, Terms};

use crate::engine::EngineKind;
use crate::hir::Direction;
use crate::list::By;
use crate::trace;
use clap::{
    ArgGroup, Args as ClapArgs, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Exit codes, for every help page.
const EXIT_CODES: &str = "\
Exit codes:
  0  done, and the answer is yes (valid, allowed, agreed)
  1  done, and the answer is no (errors found, denied or depends, disagreement)
  2  not done (bad usage, unreadable or invalid input, a bug in verdict)";

/// Reads Kubernetes network policy and a snapshot of a cluster, offline, and says what becomes of any packet
/// and which line of YAML decides about it.
#[derive(Debug, Parser)]
#[command(
    name = "verdict",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_long_help = EXIT_CODES
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
}

/// What every command takes.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Take the settings from this file instead of the `verdict.toml` found upwards from the first path. `diff` takes
    /// it twice: for OLD and for NEW.
    #[arg(long, global = true, value_name = "FILE")]
    pub settings: Vec<PathBuf>,
    /// Set one setting, after the settings file: `--set cidr-matches-pods=false`.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Write the answer to this file, whole or not at all, instead of to standard output.
    #[arg(long, global = true, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Show everything: all notes, all near misses, all repeated problems.
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Leave out objects that have errors, say so, and answer for the others.
    #[arg(long, global = true)]
    pub keep_going: bool,
    /// Make whatever is left out an error: objects of kinds that are not read, policies of other implementations
    /// or dialects, and policies without a defined meaning.
    #[arg(long, global = true)]
    pub strict: bool,
    /// What the commands of every program take.
    #[command(flatten)]
    pub common: Common,
}

/// What the commands of every program of verdict take.
#[derive(Clone, Debug, ClapArgs)]
pub struct Common {
    /// Show errors, what makes the answer incomplete, and the answer, and nothing else.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Exit with 0 where the answer is no.
    #[arg(long, global = true)]
    pub exit_zero: bool,
    /// When to use colour; `auto` heeds NO_COLOR and whether there is a terminal.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where the manifests are.
#[derive(Clone, Debug, ClapArgs)]
pub struct Inputs {
    /// Files, folders (all `.yaml`, `.yml` and `.json` below them, hidden ones left out), or `-` for standard
    /// input.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Are these manifests valid, and do they mean what they seem to mean?
    #[command(after_long_help = CHECK_HELP)]
    Check(Check),
    /// Is this packet allowed, which rules decide, and if not, what is the smallest change?
    #[command(after_long_help = EXPLAIN_HELP)]
    Explain(Explain),
    /// Which connections are allowed between workloads, and with the outside?
    #[command(after_long_help = LIST_HELP)]
    List(List),
    /// Which connections does a change open or close?
    #[command(after_long_help = DIFF_HELP)]
    Diff(Diff),
    /// What would have happened to this recorded traffic?
    #[command(after_long_help = REPLAY_HELP)]
    Replay(Replay),
    /// Make the map images of nodes, each proved to say what the manifests say.
    #[command(after_long_help = COMPILE_HELP)]
    Compile(Compile),
    /// What is in an image?
    #[command(subcommand)]
    Image(Image),
    /// Show what verdict makes of manifests, stage by stage.
    #[command(after_long_help = DUMP_HELP)]
    Dump(Dump),
    /// Print the completion script of a shell.
    #[command(after_long_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page of every command.
    #[command(after_long_help = MAN_HELP)]
    Man,
    /// Print the JSON Schema of a format that verdict reads or writes.
    #[command(after_long_help = SCHEMA_HELP)]
    Schema {
        /// The format; without it, the names of all.
        #[arg(value_enum)]
        name: Option<super::schema::Name>,
    },
}

/// `verdict check`
#[derive(Debug, ClapArgs)]
pub struct Check {
    /// The manifests.
    #[command(flatten)]
    pub inputs: Inputs,
    /// How to show what was found. `human` goes to standard error, all others to standard output.
    #[arg(long, value_enum, default_value_t = CheckFormat::Human)]
    pub format: CheckFormat,
    /// Count warnings as errors.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub deny: Option<Deny>,
}

/// What else counts as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Deny {
    /// Warnings.
    Warnings,
}

/// The formats of `verdict check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// With the lines of text and the remedy.
    Human,
    /// One line each: `file:line:column: error[V0101]: message`.
    Concise,
    /// One JSON object (`verdict schema check`).
    Json,
    /// One JSON object each.
    Jsonl,
    /// Annotations of GitHub Actions.
    Github,
    /// SARIF 2.1.0.
    Sarif,
    /// A table for a comment.
    Markdown,
    /// JUnit XML: a suite for each file.
    Junit,
}

/// `verdict explain`
#[derive(Debug, ClapArgs)]
pub struct Explain {
    /// The manifests.
    #[command(flatten)]
    pub inputs: Inputs,
    /// Where the packet comes from.
    #[arg(long, value_name = "PEER")]
    pub from: String,
    /// Where it goes.
    #[arg(long, value_name = "PEER")]
    pub to: String,
    /// The destination port: `443`, `80-90/UDP`, `http/TCP`, `8/ICMP`, `ANY`.
    #[arg(long, value_name = "PORT")]
    pub port: String,
    /// Which engine answers; all give the same answers. `spec` where it is not given.
    #[arg(long, value_enum)]
    pub engine: Option<EngineName>,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = ExplainFormat::Human)]
    pub format: ExplainFormat,
}

/// The formats of `verdict explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    /// For people.
    Human,
    /// One JSON object (`verdict schema explain`).
    Json,
}

/// `verdict list`
#[derive(Debug, ClapArgs)]
pub struct List {
    /// The manifests.
    #[command(flatten)]
    pub inputs: Inputs,
    /// Whose connections to list.
    #[arg(long, value_enum, default_value_t = ListBy::Workload)]
    pub by: ListBy,
    /// Only connections of this workload, pod or address; may be given several times.
    #[arg(long, value_name = "PEER")]
    pub focus: Vec<String>,
    /// Only connections that come to those of --focus, or that leave them.
    #[arg(long, value_enum, requires = "focus")]
    pub direction: Option<ListDirection>,
    /// Also: what pods and namespaces that do not exist yet could reach, or be reached from, by the labels that
    /// they would need, and which workloads no policy governs.
    #[arg(long)]
    pub exposure: bool,
    /// With `--format json`: put peers that have the same connections together. `human`, `markdown`, `dot` and
    /// `mermaid` always do.
    #[arg(long)]
    pub group: bool,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = ListFormat::Human)]
    pub format: ListFormat,
}

/// Whose connections `verdict list` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListBy {
    /// Workloads; a pod without an owner stands for itself.
    Workload,
    /// Pods.
    Pod,
}

impl From<ListBy> for By {
    fn from(by: ListBy) -> Self {
        match by {
            ListBy::Workload => Self::Workload,
            ListBy::Pod => Self::Pod,
        }
    }
}

/// A way of connections, as seen from those that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListDirection {
    /// Those that come to them.
    Ingress,
    /// Those that leave them.
    Egress,
}

impl From<ListDirection> for Direction {
    fn from(direction: ListDirection) -> Self {
        match direction {
            ListDirection::Ingress => Self::Ingress,
            ListDirection::Egress => Self::Egress,
        }
    }
}

/// The formats of `verdict list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// By destination, with what is equal put together.
    Human,
    /// One JSON object (`verdict schema list`; with `--group`, `verdict schema list-groups`).
    Json,
    /// A line for each pair, with a header.
    Csv,
    /// A graph for Graphviz, with a box for each namespace.
    Dot,
    /// A flowchart for Mermaid.
    Mermaid,
    /// A table for a comment.
    Markdown,
}

/// `verdict diff`
#[derive(Debug, ClapArgs)]
pub struct Diff {
    /// The manifests before the change: a file, a folder, or `-` for standard input.
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The manifests after it; OLD where two `--settings` or two `--dialect` make the difference.
    #[arg(value_name = "NEW")]
    pub new: Option<PathBuf>,
    /// The dialect of OLD, and again that of NEW: what the same policies mean under each.
    #[arg(long, value_name = "DIALECT")]
    pub dialect: Vec<String>,
    /// Whose connections to compare.
    #[arg(long, value_enum, default_value_t = ListBy::Workload)]
    pub by: ListBy,
    /// Only connections of this workload, pod or address; may be given several times.
    #[arg(long, value_name = "PEER")]
    pub focus: Vec<String>,
    /// Only connections that come to those of --focus, or that leave them.
    #[arg(long, value_enum, requires = "focus")]
    pub direction: Option<ListDirection>,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = DiffFormat::Human)]
    pub format: DiffFormat,
}

/// The formats of `verdict diff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// By destination, with what is equal put together and the rules that make the difference.
    Human,
    /// One JSON object (`verdict schema diff`).
    Json,
    /// Tables for a comment on a change.
    Markdown,
}

/// `verdict replay`
#[derive(Debug, ClapArgs)]
pub struct Replay {
    /// The manifests.
    #[command(flatten)]
    pub inputs: Inputs,
    /// The recorded traffic: a capture (pcap, pcapng), flows of Hubble's, policy-action logs of GKE, or one JSON object a
    /// line (`verdict schema trace`), also packed by gzip or zstd; a folder of such files, `-` for standard input. May be
    /// given several times: connections go on from one to the next.
    #[arg(long, value_name = "FILE", required = true)]
    pub trace: Vec<PathBuf>,
    /// Only counts and flows that disagree, not what each record or group is.
    #[arg(long)]
    pub summary: bool,
    /// What is told one by one. Where it is not given, `packet` with `--format jsonl`, and nothing with `human`.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub by: Option<ReplayBy>,
    /// Policies to compare with, as they were before: only what they judge otherwise is told. Where they have no pods, those
    /// of the other side are taken.
    #[arg(long, value_name = "OLD")]
    pub against: Option<PathBuf>,
    /// Write the packets of captures that would be dropped to this file, as pcapng.
    #[arg(long, value_name = "FILE")]
    pub write_denied: Option<PathBuf>,
    /// Which DNS answers count for rules that name domains.
    #[arg(long, value_enum, default_value_t = ReplayDns::Both)]
    pub dns: ReplayDns,
    /// Look into these tunnels: the packets within are judged, not those of the tunnel.
    #[arg(long, value_enum, value_name = "TUNNEL", value_delimiter = ',')]
    pub decapsulate: Vec<Decapsulate>,
    /// Which engine answers; all give the same answers. Where it is not given `image`, of which only those are made whose
    /// nodes the trace touches (in the dialect `cilium` all), and `ir` where no image answers (V0546).
    #[arg(long, value_enum)]
    pub engine: Option<EngineName>,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = ReplayFormat::Human)]
    pub format: ReplayFormat,
}

/// What a replay puts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReplayBy {
    /// Nothing: each packet or record stands by itself.
    #[value(alias = "record")]
    Packet,
    /// The packets of a connection.
    Connection,
    /// What is between two workloads on one port.
    Workload,
    /// What a policy or a rule decides.
    Policy,
}

impl From<ReplayBy> for trace::By {
    fn from(by: ReplayBy) -> Self {
        match by {
            ReplayBy::Packet => Self::Record,
            ReplayBy::Connection => Self::Connection,
            ReplayBy::Workload => Self::Workload,
            ReplayBy::Policy => Self::Policy,
        }
    }
}

/// The DNS answers that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReplayDns {
    /// Those in the trace, each from its time on.
    Trace,
    /// Those of the snapshot, at any time.
    Snapshot,
    /// Both.
    Both,
}

impl From<ReplayDns> for trace::Dns {
    fn from(dns: ReplayDns) -> Self {
        match dns {
            ReplayDns::Trace => Self::Trace,
            ReplayDns::Snapshot => Self::Snapshot,
            ReplayDns::Both => Self::Both,
        }
    }
}

/// The tunnels that can be looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Decapsulate {
    /// UDP to port 4789 or 8472.
    Vxlan,
    /// UDP to port 6081.
    Geneve,
}

/// The engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// The definition of the semantics: slow and obvious.
    Spec,
    /// The resolved program: fast.
    Ir,
    /// The images of nodes, made in memory: what nodes do.
    Image,
}

impl From<EngineName> for EngineKind {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Spec => Self::Spec,
            EngineName::Ir => Self::Ir,
            EngineName::Image => Self::Image,
        }
    }
}

/// The formats of `verdict replay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReplayFormat {
    /// Counts by verdict and policy, and the flows that disagree.
    Human,
    /// The same as one JSON object (`verdict schema replay-summary`).
    Json,
    /// One JSON object for each record (`verdict schema replay`).
    Jsonl,
}

/// `verdict dump`
#[derive(Debug, ClapArgs)]
pub struct Dump {
    /// The manifests.
    #[command(flatten)]
    pub inputs: Inputs,
    /// The stage to show.
    #[arg(long, value_enum)]
    pub stage: Stage,
    /// How to show it. `yaml` has `jsonl` only, all others have `text` only; each is that stage's default.
    #[arg(long, value_enum)]
    pub format: Option<DumpFormat>,
    /// Only the program of this node (`ir` and `opt`); may be given several times.
    #[arg(long, value_name = "NAME")]
    pub node: Vec<String>,
}

/// `verdict compile`
#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("made").args(["out", "bundle", "check"]).required(true).multiple(true))]
pub struct Compile {
    /// The manifests.
    #[command(flatten)]
    pub inputs: Inputs,
    /// The folder for the images, `NODE.image` each, or for the maps, a folder `NODE` each; it is made if it is not there.
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    pub out: Option<PathBuf>,
    /// What to make.
    #[arg(long, value_enum, default_value_t = Target::Image)]
    pub target: Target,
    /// Only the image of this node; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub node: Vec<String>,
    /// Show the size of each program before and after every pass of the optimiser.
    #[arg(long)]
    pub explain_passes: bool,
    /// How to show what was made.
    #[arg(long, value_enum, default_value_t = ImageFormat::Human)]
    pub format: ImageFormat,
    /// Keep there images that were proved and what large manifests of the cluster say, and take from there what would be made or read
    /// again; the images are the same. With `--target cilium` only what manifests say is kept.
    #[arg(long, value_name = "DIR", conflicts_with = "explain_passes")]
    pub cache: Option<PathBuf>,
    /// A bundle.
    #[command(flatten)]
    pub bundle: CompileBundle,
}

/// What `verdict compile` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// The images of verdict's own datapath.
    Image,
    /// The policy maps and ipcaches of Cilium's datapath, in the dialect `cilium`.
    Cilium,
}

/// `verdict image`
#[derive(Debug, Subcommand)]
pub enum Image {
    /// What does an image say of a packet, and which line of YAML decides?
    #[command(after_long_help = IMAGE_EXPLAIN_HELP)]
    Explain(ImageExplain),
    /// Does a live node of Cilium's hold what the manifests say?
    #[command(after_long_help = AUDIT_HELP)]
    Audit(ImageAudit),
    /// Is a bundle whole, signed, and what the manifests say?
    #[command(after_long_help = bundle::VERIFY_HELP)]
    Verify(ImageVerify),
    /// Which verdicts differ between two bundles, and what does each node have to fetch?
    #[command(after_long_help = bundle::IMAGE_DIFF_HELP)]
    Diff(ImageDiff),
    /// Take the image of one node out of a bundle.
    #[command(after_long_help = bundle::EXTRACT_HELP)]
    Extract(ImageExtract),
    /// Remove the chunks of a bundle that no manifest names.
    #[command(after_long_help = bundle::GC_HELP)]
    Gc(ImageGc),
    /// Show sizes, counts and digests of images and bundles, and who their endpoints are.
    #[command(after_long_help = INSPECT_HELP)]
    Inspect {
        /// The images, or bundles.
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<PathBuf>,
        /// How to show them.
        #[arg(long, value_enum, default_value_t = ImageFormat::Human)]
        format: ImageFormat,
    },
}

/// `verdict image explain`
#[derive(Debug, ClapArgs)]
pub struct ImageExplain {
    /// The image, or a bundle.
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// The node whose image of a bundle is asked; a bundle of one node needs none.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Where the packet comes from: an endpoint of the image, `NAMESPACE/POD` or, where policies govern nodes, `node/NAME`; an
    /// address; or a pod that does not exist, `NAMESPACE[KEY=VALUE,...]` or `[KEY=VALUE,...]/[KEY=VALUE,...]`.
    #[arg(long, value_name = "PEER")]
    pub from: String,
    /// Where it goes.
    #[arg(long, value_name = "PEER")]
    pub to: String,
    /// What it carries: `80/TCP`, `8/ICMP`, `/47`.
    #[arg(long)]
    pub port: String,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = ImageFormat::Human)]
    pub format: ImageFormat,
}

/// `verdict image audit`
#[derive(Debug, ClapArgs)]
pub struct ImageAudit {
    /// The manifests.
    #[command(flatten)]
    pub inputs: Inputs,
    /// The folder with what the node holds: `policy.json`, `ipcache.json`, `endpoints.json` and `identities.json`.
    #[arg(long, value_name = "DIR")]
    pub cilium: PathBuf,
    /// The node.
    #[arg(long, value_name = "NAME")]
    pub node: String,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = ImageFormat::Human)]
    pub format: ImageFormat,
}

/// The formats of `verdict compile` and `verdict image`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImageFormat {
    /// For people.
    Human,
    /// One JSON document.
    Json,
}

/// The stages that can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// What kubectl's reader makes of the text, one line for each document.
    Yaml,
    /// The policies, free of any dialect.
    Hir,
    /// The program of each node: its policies applied to the cluster, over numbers.
    Ir,
    /// The same after all passes of the optimiser: tables of rows.
    Opt,
}

/// The formats of `verdict dump`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DumpFormat {
    /// Text.
    Text,
    /// One JSON object a line.
    Jsonl,
}

const CHECK_HELP: &str = "\
Errors are what the API server refuses; they make the exit code 1. Warnings are accepted, but \
probably not meant. Exit code 2 says that something could not be looked at.

Examples:
  verdict check deploy/
  helm template shop ./chart | verdict check -
  verdict check deploy/ --format github --deny warnings
  verdict check deploy/ --format sarif --output verdict.sarif";

const EXPLAIN_HELP: &str = "\
Peers:
  shop/web                    the pod, or, where no pod has that name, the workload
  shop/deployment/web         the workload
  shop[app=web,tier=front]    a pod that does not exist, with these labels
  [team=blue]/[app=web]       the same in a namespace that does not exist
  10.0.0.7, 2001:db8::1       an address; its pod or node where one owns it
  node/worker-1, entity:world a node, the world outside
  fqdn:api.example.com        the addresses that the DNS snapshot has for the name
  service:shop/api            the backends of a service, with port translation

Ports:
  80, 80/TCP, 53/UDP, 9/SCTP  a port; the protocol is TCP where none is named
  80-90/UDP, http/TCP         a range, a port by its name
  echo-request/ICMP, 8/ICMP   an ICMP type
  /47                         a protocol without ports, by number
  ANY                         every port of every protocol

Exit code 0 says allowed, 1 denied, depends, or allowed by an input from which something was left out.

Examples:
  verdict explain deploy/ cluster.yaml --from shop/web --to shop/api --port 8080
  kubectl get pods,ns,netpol -A -o json | verdict explain - --from shop/web --to 10.0.0.7 --port 53/UDP
  verdict explain deploy/ --from 'shop[app=new]' --to shop/db --port 5432 --format json";

const LIST_HELP: &str = "\
Peers of --focus:
  shop/web, shop/deployment/web   a pod or a workload; a pod means its workload, unless --by pod is given
  10.0.0.7                        an address: its pod, or the addresses outside that are treated like it
  entity:world                    the outside
  service:shop/api                the pods behind a service

`outside` stands for addresses that no pod and no node has. A connection that is shown as `perhaps` (`depends` \
in other formats) hangs on something that the manifests leave open, or differs among the pods of a workload: \
`verdict explain` tells why. `everything` means every packet that the addresses of both ends can carry.

With --exposure, `namespaces with env=prod` are those of the cluster and new ones alike. What a new pod could send \
or be sent is judged with the policies that would govern it.

Exit code 0 says that the list is whole, 1 that something was left out of the input.

Examples:
  verdict list deploy/ cluster.yaml
  verdict list deploy/ --focus shop/web --direction ingress
  verdict list deploy/ --exposure
  kubectl get ns,nodes,pods,netpol -A -o json | verdict list - --format markdown
  verdict list deploy/ --by pod --format json --group
  verdict list deploy/ --format dot | dot -Tsvg > connections.svg";

const DIFF_HELP: &str = "\
Workloads are the same on both sides by namespace, name and kind. Connections of workloads that only one side has \
are shown apart. A side with policies alone is compared on the cluster of the other one.

With two `--settings` or two `--dialect` one PATH is enough: shown is what an upgrade, an option or another \
implementation makes of the same manifests.

Signs:
  +  nothing passed before
  -  nothing passes any more
  ~  something else passes than before

Exit code 0 says that no connection differs, and no L7 rule (`--focus` and `--direction` do not narrow these), 1 that some do, or \
that something was left out of the input, 2 that it could not be compared.

Examples:
  verdict diff main/ change/
  verdict diff main/ change/ --format markdown
  verdict diff before.yaml after.yaml --focus shop/web --direction ingress
  git worktree add /tmp/main main && verdict diff /tmp/main/deploy deploy
  verdict diff --settings today.toml --settings tomorrow.toml deploy/
  verdict diff --dialect kubernetes --dialect cilium deploy/
  kubectl get ns,nodes,pods,netpol -A -o json | verdict diff - deploy/";

const REPLAY_HELP: &str = "\
What a trace is, its content tells, not its name. A capture says what was answered, so that a connection which was answered and \
would be denied disagrees; other traces say what was decided.

Exit code 0 says that the policies agree with what every record expects or has seen (with `--against`, with the other \
policies), 1 that some record disagrees or that policies were left out, 2 that some line could not be answered or a capture is \
damaged (with `--keep-going` those do not count).

Examples:
  verdict replay deploy/ cluster.yaml --trace traffic.jsonl
  verdict replay deploy/ cluster.yaml --trace node.pcap.gz --by connection
  verdict replay deploy/ cluster.yaml --trace captures/ --against main/ --by workload
  verdict replay deploy/ cluster.yaml --trace node.pcap --write-denied denied.pcapng
  hubble observe -o jsonpb | verdict replay deploy/ cluster.yaml --trace - --format jsonl";

const DUMP_HELP: &str = "\
Exit code 0 says that everything could be shown (in the stage `yaml` a text that kubectl refuses is shown as its error), 2 \
that the input has errors.

Examples:
  verdict dump deploy/ --stage hir
  verdict dump deploy/ cluster/ --stage opt --node worker-1
  verdict dump policy.yaml --stage yaml --format jsonl";

const COMPILE_HELP: &str = "\
Every image is held to the manifests before anything is written: each endpoint, direction, peer and port \
that anything can tell apart. Where one disagrees, nothing is written and the exit code is 2; so it is where a policy \
cannot be read. With `--keep-going` the images lack that policy, say so, and the exit code is 1.

With `--target cilium` the folder of each node has what Cilium's command line prints on a node that holds these policies \
(`policy.json`, `ipcache.json`, `endpoints.json`, `identities.json`), and `maps.batch`, the same maps as a file for \
`bpftool batch file`. The setting `cilium.version` says of which release. Identities, endpoints and proxies have numbers \
of ours.

With --check the exit code is 0 where the bundle is what the manifests say, and 1 where it is not.

Examples:
  verdict compile deploy/ cluster/ --out maps --target cilium --set dialect=cilium
  verdict compile deploy/ cluster/ --out images
  verdict compile deploy/ cluster/ --out images --node worker-1 --explain-passes
  verdict compile deploy/ cluster/ --bundle fleet.bundle --fleet prod --sign policy.pem
  verdict compile deploy/ cluster/ --bundle layout --bundle-format oci && oras cp --from-oci-layout layout:generation-1 ...
  verdict compile deploy/ cluster/ --bundle fleet.bundle --cache ~/.cache/verdict
  verdict compile deploy/ cluster/ --check fleet.bundle";

const IMAGE_EXPLAIN_HELP: &str = "\
The image is asked alone, without the manifests. It answers for its own endpoints: the source's side where the source is \
one, the destination's where that is. Both sides of a flow between two nodes are in two images. Exit code 0 says that it \
allows the packet, 1 that it does not or is incomplete, 2 that it has no answer.

Examples:
  verdict image explain images/worker-1.image --from 10.0.1.7 --to shop/api --port 8080/TCP
  verdict image explain images/worker-1.image --from 192.0.2.1 --to node/worker-1 --port 22/TCP
  verdict image explain fleet.bundle --node worker-1 --from 10.0.1.7 --to shop/api --port 8080/TCP";

const AUDIT_HELP: &str = "\
The folder has what these commands print in the agent's pod on the node, each in a file:
  cilium-dbg bpf policy get --all -o json > policy.json
  cilium-dbg bpf ipcache list -o json > ipcache.json
  cilium-dbg endpoint list -o json > endpoints.json
  cilium-dbg identity list -o json > identities.json

Compared is what a packet would get, not entry by entry: for every endpoint, direction, identity and port. The manifests are \
read in the dialect `cilium`. Exit code 0 says that the node holds what they say, 1 that it does not or that the answer is \
incomplete, 2 that one side could not be read.

Examples:
  verdict image audit --cilium dump/ --node worker-1 deploy/ cluster/
  verdict image audit --cilium dump/ --node worker-1 deploy/ cluster/ --format json";

const INSPECT_HELP: &str = "\
Everything in an image is checked before anything is shown: exit code 0 says that each of them is whole, 2 that one is not.

Examples:
  verdict image inspect images/worker-1.image
  verdict image inspect images/*.image --format json
  verdict image inspect fleet.bundle";

const COMPLETIONS_HELP: &str = "\
Examples:
  verdict completions bash > /etc/bash_completion.d/verdict
  verdict completions zsh > \"${fpath[1]}/_verdict\"
  verdict completions fish > ~/.config/fish/completions/verdict.fish";

const MAN_HELP: &str = "\
Without --output all pages go to standard output; with it, one file each into that folder.

Examples:
  verdict man | man -l -
  verdict man --output /usr/local/share/man/man1";

const SCHEMA_HELP: &str = "\
Examples:
  verdict schema
  verdict schema check > check.schema.json";

/// The command under the name by which it was called.
#[must_use]
pub fn command(program: Option<&OsString>) -> clap::Command {
    let called = program
        .map(Path::new)
        .and_then(Path::file_stem)
        .and_then(|name| name.to_str());
    let command = Args::command();
    match called {
        Some("kubectl-verdict") => command
            .bin_name("kubectl verdict")
            .display_name("kubectl verdict"),
        _ => command,
    }
}

/// Parses a command line.
///
/// # Errors
/// What clap has to say: bad usage, help or version.
pub fn parse(arguments: &[OsString]) -> Result<Args, clap::Error> {
    parsed(command(arguments.first()), arguments)
}

/// Parses the command line of a command.
///
/// # Errors
/// As above.
pub fn parsed<T: FromArgMatches>(
    command: clap::Command,
    arguments: &[OsString],
) -> Result<T, clap::Error> {
    let command = command.color(color_of(arguments));
    let matches = command.clone().try_get_matches_from(arguments)?;
    T::from_arg_matches(&matches).map_err(|error| error.format(&mut command.clone()))
}

/// The colour of help and of usage errors, which are shown before the arguments are known.
fn color_of(arguments: &[OsString]) -> clap::ColorChoice {
    let asked = |when: &str| {
        arguments
            .iter()
            .any(|argument| *argument == *format!("--color={when}"))
            || arguments
                .windows(2)
                .any(|pair| matches!(pair, [option, value] if option == "--color" && value == when))
    };
    match (asked("never"), asked("always")) {
        (true, _) => clap::ColorChoice::Never,
        (false, true) => clap::ColorChoice::Always,
        (false, false) => clap::ColorChoice::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(line: &str) -> Result<Args, String> {
        let arguments: Vec<OsString> = line.split(' ').map(Into::into).collect();
        parse(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn global_options_stand_anywhere() {
        for line in ["verdict --quiet check x", "verdict check x --quiet"] {
            assert!(parse_text(line).unwrap().global.common.quiet, "{line}");
        }
    }

    #[test]
    fn the_plugin_shows_the_name_by_which_it_is_called() {
        let help = parse_text("/usr/bin/kubectl-verdict check").unwrap_err();
        assert!(help.contains("Usage: kubectl verdict check"), "{help}");
        let help = parse_text("verdict check").unwrap_err();
        assert!(help.contains("Usage: verdict check"), "{help}");
    }
}
