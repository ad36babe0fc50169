//! The kernel as an engine: packets are given to the BPF programs by `BPF_PROG_TEST_RUN`.

use aya::programs::{CgroupSkb, SchedClassifier, TestRun, TestRunOptions};
use verdict_abi::datapath::{Attachment, Direction, Outcome, Reason};
use verdict_compiler::image::Image;
use verdict_runtime::{Generation, LoadError, Options};

/// Whether tests can run programs in the kernel. Where they cannot, the reason is printed.
///
/// # Panics
/// Where they cannot, and `VERDICT_REQUIRE_KERNEL` says that they must.
#[must_use]
pub fn is_there() -> bool {
    let Err(error) = Generation::closed(Options {
        connections: CONNECTIONS,
        ..Options::default()
    }) else {
        return true;
    };
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        reason = format!("{reason}: {error}");
        source = error.source();
    }
    assert!(
        std::env::var_os("VERDICT_REQUIRE_KERNEL").is_none_or(|value| value != "1"),
        "VERDICT_REQUIRE_KERNEL=1, but programs cannot be loaded: {reason}"
    );
    println!(
        "skipped: programs cannot be loaded (root and a kernel with BPF are needed): {reason}"
    );
    false
}

/// Room for so many connections is made.
const CONNECTIONS: u32 = 64;

/// The index of the interface on which test runs take place: the loopback one.
const INTERFACE: u32 = 1;

/// An image in the kernel.
#[derive(Debug)]
pub struct Kernel {
    generation: Generation,
    attached: Option<Attachment>,
}

/// Where the words of the control buffer stand in `struct __sk_buff` (Linux, `include/uapi/linux/bpf.h`).
const CONTROL: usize = 48;
/// The size of that.
const CONTEXT: usize = 192;

impl Kernel {
    /// Loads an image.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn new(image: &Image<'_>, settings: u64) -> Result<Self, LoadError> {
        let options = Options {
            connections: CONNECTIONS,
            settings,
            ..Options::default()
        };
        Ok(Self {
            generation: Generation::load(image, options)?,
            attached: None,
        })
    }

    /// What was loaded.
    pub fn generation(&mut self) -> &mut Generation {
        &mut self.generation
    }

    /// Gives a packet to the program at the interface of an endpoint.
    ///
    /// # Panics
    /// Where the kernel refuses.
    pub fn at_interface(
        &mut self,
        endpoint: Attachment,
        direction: Direction,
        frame: &[u8],
    ) -> Outcome {
        let attachment = Attachment {
            interface: INTERFACE,
            ..endpoint
        };
        if self.attached != Some(attachment) {
            self.generation.attach_interface(attachment).unwrap();
            self.attached = Some(attachment);
        }
        let name = match direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        };
        self.classifier(name, frame)
    }

    /// Gives a packet to a program for interfaces.
    ///
    /// # Panics
    /// Where the kernel refuses.
    pub fn classifier(&mut self, name: &'static str, frame: &[u8]) -> Outcome {
        let program: &SchedClassifier = self.generation.classifier(name).unwrap();
        let (returned, outcome) = run(program, frame);
        let passes = u32::MAX;
        assert_eq!(returned == passes, outcome.passes(), "{outcome:?}");
        assert!(
            returned == passes || returned == 2,
            "it returned {returned}"
        );
        outcome
    }

    /// Gives a packet to the program of a cgroup.
    ///
    /// # Panics
    /// Where the kernel refuses.
    pub fn at_cgroup(&mut self, direction: Direction, frame: &[u8]) -> Outcome {
        let name = match direction {
            Direction::Ingress => "cgroup_ingress",
            Direction::Egress => "cgroup_egress",
        };
        let program: &CgroupSkb = self.generation.cgroup(name).unwrap();
        let (returned, outcome) = run(program, frame);
        assert_eq!(returned, u32::from(outcome.passes()));
        outcome
    }
}

/// Whether the kernel takes a packet for a test run: those it refuses that end within their first header of IP.
#[must_use]
pub fn takes(frame: &[u8]) -> bool {
    let least = match frame.get(12..14) {
        Some([0x08, 0x00]) => 34,
        Some([0x86, 0xDD]) => 54,
        _ => 14,
    };
    frame.len() >= least
}

fn run<P>(program: &P, frame: &[u8]) -> (u32, Outcome)
where
    P: for<'a> TestRun<Opts<'a> = TestRunOptions<'a>, Result = aya::programs::TestRunResult>,
{
    let mut context = [0_u8; CONTEXT];
    let options = TestRunOptions {
        data_in: Some(frame),
        ctx_out: Some(&mut context),
        ..TestRunOptions::default()
    };
    let result = program.test_run(options).unwrap();
    let word = |index: usize| {
        let at = CONTROL + index * 4;
        u32::from_ne_bytes(context[at..at + 4].try_into().unwrap())
    };
    let reason = Reason::ALL[word(0) as usize];
    let code = word(1);
    (result.return_value, Outcome::new(reason, code))
}
