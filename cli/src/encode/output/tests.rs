use std::collections::BTreeSet;

use super::*;

/// A folder with a source in it, and a place for the output beside it.
struct Scene {
    root: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("in.mp4"), b"source").unwrap();
        Self { root }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn with_old_output(self) -> Self {
        fs::create_dir(self.at("out")).unwrap();
        fs::write(self.at("out/master.m3u8"), b"old").unwrap();
        self
    }

    fn prepare(&self, out: &str, force: bool) -> Result<Output, Error> {
        Output::prepare(&self.at(out), Some(&self.at("in.mp4")), force)
    }

    fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.root.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn write_ladder(output: &Output) {
    fs::write(output.dirs().work.join("chunk"), b"spooled").unwrap();
    fs::create_dir(output.dirs().out.join("hd")).unwrap();
    fs::write(output.dirs().out.join("master.m3u8"), b"new").unwrap();
}

#[test]
fn a_published_folder_holds_the_ladder_and_no_spool() {
    let scene = Scene::new();
    let output = scene.prepare("a/b/out", false).unwrap();
    write_ladder(&output);
    let published = output.publish(Durability::Synced).unwrap();
    assert_eq!(published, scene.at("a/b/out"));
    let names: BTreeSet<_> = fs::read_dir(published).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, BTreeSet::from(["hd".into(), "master.m3u8".into()]));
}

#[test]
fn a_failed_run_leaves_nothing_not_even_the_parents_it_made() {
    let scene = Scene::new();
    let output = scene.prepare("a/b/out", false).unwrap();
    write_ladder(&output);
    drop(output);
    assert_eq!(scene.names(), BTreeSet::from(["in.mp4".into()]));
}

#[test]
fn folders_that_were_made_are_gone_unless_they_are_kept_or_another_has_put_something_there() {
    let scene = Scene::new();
    drop(Made::for_output(&scene.at("a/b/out")).unwrap());
    assert_eq!(scene.names(), BTreeSet::from(["in.mp4".into()]));
    let made = Made::for_output(&scene.at("a/b/out")).unwrap();
    fs::write(scene.at("a/theirs"), b"").unwrap();
    drop(made);
    assert!(scene.at("a/theirs").exists() && !scene.at("a/b").exists());
    let kept = Made::for_output(&scene.at("c/out")).unwrap().keep();
    assert_eq!(kept, [scene.at("c"), scene.at("c/out")]);
    assert!(scene.at("c/out").is_dir());
}

#[test]
fn a_failed_run_leaves_an_empty_folder_empty() {
    let scene = Scene::new();
    fs::create_dir(scene.at("out")).unwrap();
    let output = scene.prepare("out", false).unwrap();
    write_ladder(&output);
    drop(output);
    assert_eq!(fs::read_dir(scene.at("out")).unwrap().count(), 0);
}

/// Has so many runs prepare their outputs at the same moment.
fn at_once(count: usize, prepare: impl Fn(usize) -> Result<Output, Error> + Sync) -> Vec<Result<Output, Error>> {
    let (all, prepare) = (&std::sync::Barrier::new(count), &prepare);
    std::thread::scope(|scope| {
        let run = |number| {
            scope.spawn(move || {
                all.wait();
                prepare(number)
            })
        };
        let runs: Vec<_> = (0..count).map(run).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    })
}

#[test]
fn runs_that_begin_at_once_share_the_parents_that_one_of_them_made() {
    for round in 0..100 {
        let scene = Scene::new();
        let outputs = at_once(4, |number| scene.prepare(&format!("a/b/out-{number}"), false));
        for output in outputs {
            output.unwrap_or_else(|error| panic!("round {round}: {error}")).publish(Durability::Buffered).unwrap();
        }
        assert_eq!(fs::read_dir(scene.at("a/b")).unwrap().count(), 4);
    }
}

#[test]
fn of_runs_that_begin_at_once_in_one_folder_one_has_it_whole() {
    for round in 0..100 {
        let scene = Scene::new();
        let outputs = at_once(4, |_| scene.prepare("a/out", false));
        let (made, refused): (Vec<_>, Vec<_>) = outputs.into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 1, "round {round}: {refused:?}");
        assert!(refused.iter().all(|it| matches!(it, Err(Error::Busy(_)))), "round {round}: {refused:?}");
        assert!(made[0].as_ref().unwrap().dirs().work.is_dir(), "round {round}: another run emptied it");
    }
}

#[test]
fn of_runs_that_replace_an_output_at_once_one_does_and_the_others_are_told() {
    for round in 0..100 {
        let scene = Scene::new().with_old_output();
        let outputs = at_once(4, |_| scene.prepare("out", true));
        let (mut made, refused): (Vec<_>, Vec<_>) = outputs.into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 1, "round {round}: {refused:?}");
        assert!(refused.iter().all(|it| matches!(it, Err(Error::Busy(_)))), "round {round}: {refused:?}");
        let output = made.remove(0).unwrap();
        write_ladder(&output);
        output.publish(Durability::Buffered).unwrap();
        assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"new");
        assert_eq!(scene.names(), BTreeSet::from(["in.mp4".into(), "out".into()]));
    }
}

#[test]
fn runs_that_fail_take_no_folder_away_that_another_has_begun_to_write() {
    let scene = Scene::new();
    let runs = at_once(4, |number| {
        for _ in 0..500 {
            match scene.prepare("a/out", number % 2 == 0) {
                Ok(output) => assert!(output.dirs().work.is_dir(), "another run has taken it away"),
                Err(Error::Busy(_)) => {}
                Err(error) => return Err(error),
            }
        }
        scene.prepare(&format!("last-{number}"), false)
    });
    runs.into_iter().for_each(|run| drop(run.unwrap()));
}

#[test]
fn a_folder_that_was_replaced_meanwhile_is_neither_published_nor_emptied() {
    for force in [false, true] {
        let scene = if force { Scene::new().with_old_output() } else { Scene::new() };
        let replaced = |output: &Output| {
            write_ladder(output);
            fs::rename(scene.at("out"), scene.at("elsewhere")).unwrap();
            fs::create_dir(scene.at("out")).unwrap();
            fs::write(scene.at("out/notes"), b"another's").unwrap();
        };
        let output = scene.prepare("out", force).unwrap();
        replaced(&output);
        assert!(matches!(output.publish(Durability::Buffered).unwrap_err(), Error::Moved(_)));
        assert_eq!(fs::read(scene.at("out/notes")).unwrap(), b"another's");
        assert_eq!(scene.names(), BTreeSet::from(["elsewhere".into(), "in.mp4".into(), "out".into()]));
    }
}

#[test]
fn a_new_output_that_nobody_has_locked_yet_is_left_alone_by_who_does_not_hold_the_folder() {
    let scene = Scene::new().with_old_output();
    let _output = scene.prepare("out", true).unwrap();
    fs::create_dir(scene.at(".out.vtp-new-1")).unwrap();
    assert!(matches!(scene.prepare("out", true).unwrap_err(), Error::Busy(_)));
    assert!(matches!(scene.prepare("out", false).unwrap_err(), Error::NotEmpty(_)));
    assert!(scene.at(".out.vtp-new-1").is_dir());
}

#[test]
fn an_old_output_is_not_put_back_while_the_run_lives_that_replaces_it() {
    let scene = Scene::new().with_old_output();
    let _output = scene.prepare("out", true).unwrap();
    // As between the two steps of a swap.
    fs::rename(scene.at("out"), scene.at(".out.vtp-old-1")).unwrap();
    assert!(matches!(scene.prepare("out", false).unwrap_err(), Error::Busy(_)));
    assert!(scene.at(".out.vtp-old-1").is_dir());
}

#[test]
fn an_existing_output_is_refused_without_force_and_untouched() {
    let scene = Scene::new().with_old_output();
    let error = scene.prepare("out", false).unwrap_err();
    assert!(matches!(error, Error::NotEmpty(_)));
    assert_eq!(Failure::from(error).code(), 2);
    assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"old");
}

#[test]
fn with_force_the_old_output_stays_until_the_new_one_is_complete() {
    let scene = Scene::new().with_old_output();
    let output = scene.prepare("out", true).unwrap();
    write_ladder(&output);
    assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"old");
    output.publish(Durability::Synced).unwrap();
    assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"new");
    assert_eq!(scene.names(), BTreeSet::from(["in.mp4".into(), "out".into()]));
}

#[test]
fn with_force_a_failed_run_leaves_the_old_output_as_it_was() {
    let scene = Scene::new().with_old_output();
    let output = scene.prepare("out", true).unwrap();
    write_ladder(&output);
    drop(output);
    assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"old");
    assert_eq!(scene.names(), BTreeSet::from(["in.mp4".into(), "out".into()]));
}

/// What a run that is killed leaves: nothing of it is dropped, but its lock is gone.
fn killed(output: Output) {
    let output = std::mem::ManuallyDrop::new(output);
    output.held.release().unwrap();
    if let Plan::Replace { held, .. } = &output.plan {
        held.release().unwrap();
    }
}

#[test]
fn what_a_killed_run_left_is_taken_over() {
    let scene = Scene::new();
    let output = scene.prepare("a/out", false).unwrap();
    write_ladder(&output);
    fs::rename(&output.dirs.work, scene.at("a/out/.vtp-work-1")).unwrap();
    killed(output);
    let output = scene.prepare("a/out", false).unwrap();
    assert_eq!(fs::read_dir(scene.at("a/out")).unwrap().count(), 1, "the work folder alone");
    write_ladder(&output);
    output.publish(Durability::Buffered).unwrap();
    assert_eq!(fs::read(scene.at("a/out/master.m3u8")).unwrap(), b"new");
}

#[test]
fn what_is_cut_off_while_it_removes_an_unfinished_output_leaves_the_mark_that_says_so() {
    let paths = |names: [&str; 4]| names.map(|name| Path::new("out").join(name)).to_vec();
    let removed = marks_last(paths([".vtp-work-7", "hd", ".vtp-work-1", "master.m3u8"]));
    assert_eq!(removed, paths(["hd", "master.m3u8", ".vtp-work-7", ".vtp-work-1"]));
}

#[test]
fn a_folder_that_a_run_is_writing_is_refused_even_with_force() {
    let scene = Scene::new();
    let output = scene.prepare("out", false).unwrap();
    write_ladder(&output);
    for force in [false, true] {
        assert!(matches!(scene.prepare("out", force).unwrap_err(), Error::Busy(_)));
    }
    assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"new");
}

#[test]
fn a_new_output_that_is_about_to_take_its_place_is_left_alone() {
    let scene = Scene::new().with_old_output();
    let output = scene.prepare("out", true).unwrap();
    write_ladder(&output);
    // As between the last two steps of publishing.
    fs::remove_dir_all(&output.dirs.work).unwrap();
    assert!(matches!(scene.prepare("out", false).unwrap_err(), Error::NotEmpty(_)));
    assert_eq!(fs::read(output.dirs.out.join("master.m3u8")).unwrap(), b"new");
}

#[test]
fn what_a_killed_run_left_beside_an_old_output_goes_with_the_next_run() {
    let scene = Scene::new().with_old_output();
    let output = scene.prepare("out", true).unwrap();
    write_ladder(&output);
    fs::rename(&output.dirs.out, scene.at(".out.vtp-new-1")).unwrap();
    killed(output);
    assert!(matches!(scene.prepare("out", false).unwrap_err(), Error::NotEmpty(_)));
    assert_eq!(scene.names(), BTreeSet::from(["in.mp4".into(), "out".into()]));
    assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"old");
}

#[test]
fn an_old_output_that_was_moved_away_by_a_killed_run_is_put_back() {
    let scene = Scene::new().with_old_output();
    fs::rename(scene.at("out"), scene.at(".out.vtp-old-1")).unwrap();
    assert!(matches!(scene.prepare("out", false).unwrap_err(), Error::NotEmpty(_)));
    assert_eq!(fs::read(scene.at("out/master.m3u8")).unwrap(), b"old");
}

#[test]
fn force_never_deletes_the_source() {
    let scene = Scene::new();
    let error = Output::prepare(scene.root.path(), Some(&scene.at("in.mp4")), true).unwrap_err();
    assert!(matches!(error, Error::Precious { .. }));
    assert_eq!(scene.names(), BTreeSet::from(["in.mp4".into()]));
}

#[test]
fn force_never_deletes_the_folder_that_the_command_runs_in() {
    let scene = Scene::new();
    let error = Output::prepare(Path::new(".."), Some(&scene.at("in.mp4")), true).unwrap_err();
    assert!(matches!(error, Error::Precious { .. }));
}

#[test]
fn force_replaces_ladders_alone() {
    let scene = Scene::new();
    fs::create_dir(scene.at("films")).unwrap();
    for name in ["a.mkv", "b.mkv", "c.mkv", "d.mkv"] {
        fs::write(scene.at("films").join(name), b"a film").unwrap();
    }
    for (force, advice) in [(false, "choose another --out"), (true, "--force replaces ladders alone")] {
        let error = scene.prepare("films", force).unwrap_err().to_string();
        assert!(
            error.contains("not a ladder: it holds a.mkv, b.mkv, c.mkv and 1 more") && error.contains(advice),
            "{error}"
        );
    }
    assert_eq!(fs::read_dir(scene.at("films")).unwrap().count(), 4);
    fs::write(scene.at("films/master.m3u8"), b"#EXTM3U").unwrap();
    scene.prepare("films", true).unwrap();
}

#[test]
fn force_never_deletes_the_users_own_folder() {
    let scene = Scene::new();
    let home = std::env::home_dir().unwrap().canonicalize().unwrap();
    let error = refuse_precious(&home, Some(&scene.at("in.mp4"))).unwrap_err();
    assert!(matches!(error, Error::Precious { inside, .. } if inside == home));
}

#[test]
fn a_file_in_the_place_of_the_folder_is_refused() {
    let scene = Scene::new();
    assert!(matches!(scene.prepare("in.mp4", true).unwrap_err(), Error::NotAFolder(_)));
    assert!(matches!(scene.prepare("in.mp4/out", true).unwrap_err(), Error::NotAFolder(_)));
}

#[test]
fn a_full_disk_is_told_with_what_to_do() {
    let cause = io::Error::from(io::ErrorKind::StorageFull);
    let error = Error::Io { action: "write to", path: "out".into(), cause };
    assert!(error.to_string().ends_with("free some space or choose another --out"));
    assert_eq!(Failure::from(error).code(), 1);
}
