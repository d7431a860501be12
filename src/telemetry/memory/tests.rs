use super::*;

type Files<'a> = &'a [(&'a str, &'a str)];

fn reader(files: Files<'_>) -> impl Fn(&str) -> Option<String> + '_ {
    |path| {
        let (_, text) = files.iter().find(|(name, _)| *name == path)?;
        Some((*text).to_owned())
    }
}

fn limit_with(files: Files<'_>) -> Option<u64> {
    limit(&reader(files))
}

fn look_with(files: Files<'_>, resident: Option<u64>) -> Option<Use> {
    let read = reader(files);
    look(&groups(&read), &read, resident)
}

const MACHINE: (&str, &str) = (
    "/proc/meminfo",
    "MemTotal:        8388608 kB\nMemFree: 1 kB\n",
);

#[test]
fn the_limit_is_the_smallest_above_the_process() {
    assert_eq!(limit_with(&[MACHINE]), Some(8 << 30));
    assert_eq!(
        limit_with(&[
            MACHINE,
            ("/proc/self/cgroup", "0::/pod/app\n"),
            ("/sys/fs/cgroup/memory.max", "max\n"),
            ("/sys/fs/cgroup/pod/memory.max", "536870912\n"),
            ("/sys/fs/cgroup/pod/app/memory.max", "1073741824\n"),
        ]),
        Some(512 << 20)
    );
    assert_eq!(
        limit_with(&[
            MACHINE,
            ("/proc/self/cgroup", "0::/\n"),
            ("/sys/fs/cgroup/memory.max", "1073741824\n"),
        ]),
        Some(1 << 30)
    );
}

#[test]
fn the_first_version_of_control_groups_is_read_too() {
    assert_eq!(
        limit_with(&[
            MACHINE,
            (
                "/proc/self/cgroup",
                "5:cpu,cpuacct:/x\n4:memory:/docker/1\n"
            ),
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "1073741824\n"
            ),
        ]),
        Some(1 << 30)
    );
    // "No limit" is a number near 2^63 there.
    assert_eq!(
        limit_with(&[
            MACHINE,
            ("/proc/self/cgroup", "4:memory:/\n"),
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n"
            ),
        ]),
        Some(8 << 30)
    );
}

#[test]
fn a_machine_that_tells_nothing_is_no_error() {
    assert_eq!(limit_with(&[]), None);
    assert_eq!(
        limit_with(&[("/proc/meminfo", "?"), ("/proc/self/cgroup", "?\n:\n")]),
        None
    );
    assert_eq!(look_with(&[], None), None);
}

#[test]
fn a_group_counts_without_its_file_cache() {
    let seen = look_with(
        &[
            MACHINE,
            ("/proc/self/cgroup", "0::/app\n"),
            ("/sys/fs/cgroup/app/memory.max", "1000\n"),
            ("/sys/fs/cgroup/app/memory.current", "900\n"),
            (
                "/sys/fs/cgroup/app/memory.stat",
                "anon 500\nfile 400\ninactive_file 300\nactive_file 100\n",
            ),
        ],
        Some(500),
    );
    let expected = Use {
        used: 600,
        limit: 1000,
    };
    assert_eq!(seen, Some(expected));
}

#[test]
fn the_first_version_tells_its_use_too() {
    let group = "/sys/fs/cgroup/memory/docker/1";
    let files = [
        ("limit_in_bytes", "1000\n"),
        ("usage_in_bytes", "900\n"),
        ("stat", "inactive_file 1\ntotal_inactive_file 200\n"),
    ];
    let names = files.map(|(name, _)| format!("{group}/memory.{name}"));
    let mut all = vec![MACHINE, ("/proc/self/cgroup", "4:memory:/docker/1\n")];
    all.extend(names.iter().map(String::as_str).zip(files.map(|(_, t)| t)));
    let expected = Use {
        used: 700,
        limit: 1000,
    };
    assert_eq!(look_with(&all, Some(1)), Some(expected));
}

#[test]
fn of_several_groups_the_one_closest_to_its_limit_counts() {
    let seen = look_with(
        &[
            MACHINE,
            ("/proc/self/cgroup", "0::/pod/app\n"),
            ("/sys/fs/cgroup/pod/memory.max", "1000\n"),
            ("/sys/fs/cgroup/pod/memory.current", "950\n"),
            ("/sys/fs/cgroup/pod/app/memory.max", "900\n"),
            ("/sys/fs/cgroup/pod/app/memory.current", "100\n"),
        ],
        Some(100),
    );
    let expected = Use {
        used: 950,
        limit: 1000,
    };
    assert_eq!(seen, Some(expected));
}

#[test]
fn without_a_group_the_process_counts_against_the_machine() {
    let files = [
        MACHINE,
        ("/proc/self/cgroup", "0::/\n"),
        ("/sys/fs/cgroup/memory.max", "max\n"),
        ("/sys/fs/cgroup/memory.current", "123\n"),
    ];
    let expected = Use {
        used: 77,
        limit: 8 << 30,
    };
    assert_eq!(look_with(&files, Some(77)), Some(expected));
}

#[test]
fn levels_begin_at_their_share_and_end_a_little_below() {
    let watch = Watch::at(Use {
        used: 0,
        limit: 100,
    });
    let steps = [
        (79, Level::Calm),
        (80, Level::Scarce),
        (87, Level::Scarce),
        (88, Level::Full),
        (86, Level::Full),
        (85, Level::Scarce),
        (78, Level::Scarce),
        (77, Level::Calm),
        (100, Level::Full),
        (10, Level::Calm),
    ];
    for (used, level) in steps {
        watch.take(Use { used, limit: 100 });
        assert_eq!(watch.level(), level, "at {used} %");
        assert_eq!(watch.is_full(), level == Level::Full);
    }
}

#[test]
fn this_machine_is_understood() {
    let watch = Watch::new();
    let Use { used, limit } = watch.last();
    assert!(used > 0 && limit > used, "{used} of {limit}");
}
