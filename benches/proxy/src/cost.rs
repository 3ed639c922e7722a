//! What another process has paid so far: instructions, CPU time, context switches; and its memory and connections.

use std::{collections::HashSet, fs, iter::Sum, ops::Sub, path::PathBuf};

use perf_event::{
    Builder, Counter,
    events::{Hardware, Tracepoint},
};

/// Totals of a process since it started, or between two readings of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// On a CPU, in nanoseconds.
    pub(crate) cpu_ns: u64,
    /// Voluntary and involuntary context switches.
    pub(crate) switches: u64,
    /// Retired instructions in user mode and in the kernel; zero where the machine has no counters.
    pub(crate) user: u64,
    pub(crate) kernel: u64,
    /// System calls; zero where the kernel does not show them.
    pub(crate) syscalls: u64,
}

impl Sub for Cost {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns - before.cpu_ns,
            switches: self.switches - before.switches,
            user: self.user - before.user,
            kernel: self.kernel - before.kernel,
            syscalls: self.syscalls - before.syscalls,
        }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |a, b| Self {
            cpu_ns: a.cpu_ns + b.cpu_ns,
            switches: a.switches + b.switches,
            user: a.user + b.user,
            kernel: a.kernel + b.kernel,
            syscalls: a.syscalls + b.syscalls,
        })
    }
}

/// Reads the costs of the threads that a process has when it is made.
#[derive(Debug)]
pub(crate) struct Meter {
    threads: Vec<Thread>,
}

#[derive(Debug)]
struct Thread {
    folder: PathBuf,
    user: Option<Counter>,
    kernel: Option<Counter>,
    syscalls: Option<Counter>,
}

impl Meter {
    pub(crate) fn new(pid: u32) -> Self {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        Self { threads: tasks.filter_map(|task| Thread::new(task.path())).collect() }
    }

    pub(crate) fn read(&mut self) -> Cost {
        self.threads.iter_mut().map(Thread::read).sum()
    }
}

impl Thread {
    fn new(folder: PathBuf) -> Option<Self> {
        let id = folder.file_name()?.to_str()?.parse().ok()?;
        let mut instructions = Builder::new(Hardware::INSTRUCTIONS);
        let user = start(id, instructions.exclude_kernel(true));
        let kernel = start(id, instructions.exclude_user(true).exclude_kernel(false));
        let entered = fs::read_to_string(SYSCALL_EVENT).ok().and_then(|id| id.trim().parse().ok());
        let syscalls =
            entered.and_then(|event| start(id, Builder::new(Tracepoint::with_id(event)).exclude_kernel(false)));
        Some(Self { folder, user, kernel, syscalls })
    }

    fn read(&mut self) -> Cost {
        let file = |name| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        let switches = file("status")
            .lines()
            .filter_map(|line| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok())
            .sum();
        let cpu_ns = file("schedstat").split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default();
        let [user, kernel, syscalls] = [&mut self.user, &mut self.kernel, &mut self.syscalls].map(count);
        Cost { cpu_ns, switches, user, kernel, syscalls }
    }
}

/// Starts a counter on a thread; `None` where the machine has none or does not lend it.
fn start(thread: i32, builder: &mut Builder<'_>) -> Option<Counter> {
    let mut counter = builder.observe_pid(thread).any_cpu().exclude_hv(true).build().ok()?;
    counter.enable().ok()?;
    Some(counter)
}

fn count(counter: &mut Option<Counter>) -> u64 {
    counter.as_mut().and_then(|counter| counter.read().ok()).unwrap_or_default()
}

/// The resident memory of a process in KiB.
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    resident.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// How many established connections a process has to `port`.
pub(crate) fn connections(pid: u32, port: u16) -> usize {
    let sockets = sockets(pid);
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let remote = format!(":{port:04X}");
    let open = table.lines().filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        matches!(fields[..], [_, _, to, ESTABLISHED, _, _, _, _, _, inode, ..]
            if to.ends_with(&remote) && sockets.contains(inode))
    });
    open.count()
}

/// The inodes of a process's sockets: the table lists those of other processes as well.
fn sockets(pid: u32) -> HashSet<String> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inode = |file: fs::DirEntry| {
        let link = fs::read_link(file.path()).ok()?;
        Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    files.filter_map(inode).collect()
}

const SYSCALL_EVENT: &str = "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id";
const ESTABLISHED: &str = "01";
