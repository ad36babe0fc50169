//! The arguments of every command, and their help.

use super::report::Name;
use crate::node::{Hook, ROOT};
use clap::{Args as ClapArgs, CommandFactory as _, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use verdict_compiler::cli::args::{Common, Terms, parsed};

/// Exit codes, for every help page.
const EXIT_CODES: &str = "\
Exit codes:
  0  done, and everything that is attached is enforced (or closed, where that was asked for)
  1  done, and something is closed, gone, or enforced otherwise than the policies say
  2  not done (bad usage, no image, something that the node lacks, a bug in verdict): what enforced before does so still";

/// Enforces the images of `verdict compile` on a node.
#[derive(Debug, Parser)]
#[command(
    name = "verdict-node",
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
    /// The folder of a bpffs where everything is pinned.
    #[arg(long, global = true, value_name = "DIR", default_value = ROOT)]
    pub root: PathBuf,
    /// How long to wait for another command that is at work.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
    /// How many connections to keep, where the table is made by this command: a power of two.
    #[arg(long, global = true, value_name = "NUMBER", default_value_t = 262_144)]
    pub connections: u32,
    /// What the commands of every program take.
    #[command(flatten)]
    pub common: Common,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load an image, or that of this node out of a bundle, as the next generation, and let it enforce wherever something is attached.
    #[command(after_long_help = LOAD_HELP)]
    Load(Load),
    /// Protect an endpoint: by its interface, its address or its cgroup.
    #[command(after_long_help = ATTACH_HELP)]
    Attach(Attach),
    /// Protect an endpoint no longer.
    #[command(after_long_help = DETACH_HELP)]
    Detach {
        /// What `status` calls it: the endpoint (at all of its interfaces), the interface or its index, or the path of the
        /// cgroup or its number.
        #[arg(value_name = "NAME")]
        what: String,
        /// How to show what was done.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// What is loaded, what is attached, and what was decided by which rule?
    #[command(after_long_help = STATUS_HELP)]
    Status {
        /// How to show it.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Go back to the generation that enforced before.
    #[command(after_long_help = ROLLBACK_HELP)]
    Rollback {
        /// How to show what was done.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Give up all generations: what is attached lets nothing pass.
    #[command(after_long_help = UNLOAD_HELP)]
    Unload {
        /// Give up everything, attachments too: everything passes then.
        #[arg(long)]
        all: bool,
        /// How to show what was done.
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Print the completion script of a shell.
    #[command(after_long_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual pages.
    #[command(after_long_help = MAN_HELP)]
    Man {
        /// Write them into this folder, one file each.
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
    /// Print the JSON Schema of what a command prints.
    #[command(after_long_help = SCHEMA_HELP)]
    Schema {
        /// The format; without it, the names of all.
        #[arg(value_enum)]
        name: Option<Name>,
    },
}

/// `verdict-node load`
#[derive(Debug, ClapArgs)]
pub struct Load {
    /// A bundle (a folder, an archive or an OCI image layout), or an image: a file, or `-` for standard input.
    #[arg(value_name = "BUNDLE")]
    pub image: PathBuf,
    /// The node whose image it is, as the manifests name it; without it, of a bundle, that of the name of this host.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// What is asked of a bundle.
    #[command(flatten)]
    pub terms: Terms,
    /// Take a generation of the bundle, too, that is older than the one that enforces.
    #[arg(long)]
    pub allow_older: bool,
    /// The SHA-256 digest that the image must have.
    #[arg(long, value_name = "SHA256")]
    pub digest: Option<String>,
    /// Load it, too, where it enforces already; else nothing is done then.
    #[arg(long)]
    pub force: bool,
    /// Let pass what is neither IP nor ARP.
    #[arg(long)]
    pub pass_non_ip: bool,
    /// Let TCP and SCTP connections go on that were open when their endpoint was first attached. Who opened them is a guess
    /// then.
    #[arg(long)]
    pub pick_up: bool,
    /// How to show what was done.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
}

/// `verdict-node attach`
#[derive(Debug, ClapArgs)]
pub struct Attach {
    /// The host's side of the interface of the pod.
    #[arg(long, value_name = "NAME", requires = "pod", conflicts_with_all = ["address", "cgroup"])]
    pub interface: Option<String>,
    /// The address of the pod: its interface is the one to which the route to it leads.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "cgroup")]
    pub address: Option<IpAddr>,
    /// The cgroup of the pod: for hosts where its interface is not known.
    #[arg(long, value_name = "PATH", conflicts_with = "pod")]
    pub cgroup: Option<PathBuf>,
    /// The pod behind it.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = pod)]
    pub pod: Option<String>,
    /// Put the pod in the place of the one that the interface protects.
    #[arg(long, conflicts_with = "cgroup")]
    pub replace: bool,
    /// How programs are held at an interface.
    #[arg(long, value_enum, default_value_t = HookWord::Auto, conflicts_with = "cgroup")]
    pub hook: HookWord,
    /// How to show what was done.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
}

/// How programs are held at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HookWord {
    /// As they are held there already; else by tcx, where the kernel has it, and by clsact where not.
    Auto,
    /// By links of tcx: Linux 6.6 and later.
    Tcx,
    /// By filters of traffic control, at a qdisc `clsact`.
    Clsact,
}

impl HookWord {
    /// What is asked for; `None` where the kernel decides.
    #[must_use]
    pub const fn asked(self) -> Option<Hook> {
        match self {
            Self::Auto => None,
            Self::Tcx => Some(Hook::Tcx),
            Self::Clsact => Some(Hook::Clsact),
        }
    }
}

/// The name of a pod.
fn pod(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((namespace, name))
            if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
        {
            Ok(text.to_owned())
        }
        _ => Err("a pod is named with its namespace, as in `shop/web`".to_owned()),
    }
}

/// How to show an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON object.
    Json,
}

const LOAD_HELP: &str = "\
Everything in the image is checked; its tables are copied to maps, which nobody can change any more, and the kernel's own \
digests of them are compared with those of the image (where a kernel computes none, before Linux 6.18, they are read back). \
Then the programs of each interface are replaced in one step. Connections go on as far as the new policies allow them. Where \
something fails, the old generation enforces.

Of a bundle every chunk is held to its digest, and the manifest to its signature where --verify-key is given. A bundle of \
another fleet, or one that is older than what enforces, is refused unless it is asked for. What enforces already is not loaded \
again, so that `rollback` goes where it went before.

Examples:
  verdict-node load fleet.bundle --verify-key policy.pub.pem
  verdict-node load fleet.tar --node worker-1 --fleet prod --at-least 17
  verdict-node load images/worker-1.image
  verdict-node load worker-1.image --digest sha256:4c4b6a3b...
  verdict image extract fleet.bundle --node worker-1 | verdict-node load -";

const ATTACH_HELP: &str = "\
What is attached is protected from then on, also after this command: by the image that is loaded or, where none is or it \
does not have the pod, by letting nothing pass. An interface that protects another pod is refused without --replace; an \
interface of another network namespace than the one where it was attached is not touched.

Examples:
  verdict-node attach --interface veth1a2b3c --pod shop/web
  verdict-node attach --interface veth1a2b3c --pod shop/web --hook clsact
  verdict-node attach --address 10.0.1.7
  verdict-node attach --cgroup /sys/fs/cgroup/kubepods.slice/kubepods-pod0123.slice";

const DETACH_HELP: &str = "\
Everything passes there then. A pod is given up at all of its interfaces, which are named; what is gone is forgotten.

Examples:
  verdict-node detach shop/web
  verdict-node detach veth1a2b3c";

const STATUS_HELP: &str = "\
Exit code 0 says that an image is loaded, is held by the kernel as it was compiled, and enforced wherever something is \
attached; 1 that it is not, or not everywhere.

Examples:
  verdict-node status
  verdict-node status --format json";

const ROLLBACK_HELP: &str = "\
One generation is kept beside the one that enforces. Asked twice, the generation comes back that enforced first.

Examples:
  verdict-node rollback";

const UNLOAD_HELP: &str = "\
Examples:
  verdict-node unload
  verdict-node unload --all";

const COMPLETIONS_HELP: &str = "\
Examples:
  verdict-node completions bash > /etc/bash_completion.d/verdict-node
  verdict-node completions zsh > \"${fpath[1]}/_verdict-node\"
  verdict-node completions fish > ~/.config/fish/completions/verdict-node.fish";

const MAN_HELP: &str = "\
Without --output all pages go to standard output.

Examples:
  verdict-node man | man -l -
  verdict-node man --output /usr/local/share/man/man1";

const SCHEMA_HELP: &str = "\
Examples:
  verdict-node schema
  verdict-node schema status > status.schema.json";

/// Parses a command line.
///
/// # Errors
/// What clap has to say: bad usage, help or version.
pub fn parse(arguments: &[OsString]) -> Result<Args, clap::Error> {
    parsed(Args::command(), arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }
}
