use proptest::prelude::*;

use super::*;

const FRAME: i64 = 40_000;
const SOUND: i64 = 20_000;
const SECOND: i64 = 1_000_000;

fn place(healer: &mut Healer, stream: usize, time: i64, duration: i64) -> i64 {
    let run = healer.place(stream, time, duration);
    healer.shift_us(run)
}

fn shown(healer: &mut Healer, stream: usize, time: i64, duration: i64) -> i64 {
    let run = healer.place_shown(stream, time, duration);
    healer.shift_us(run)
}

/// Packets that follow each other at container times from `start` on until `end`: stream, time, duration.
fn packets(stream: usize, start: i64, end: i64) -> Vec<(usize, i64, i64)> {
    let duration = if stream == 0 { FRAME } else { SOUND };
    (0..(end - start) / duration).map(|number| (stream, start + number * duration, duration)).collect()
}

/// A part of a recording that begins at `start`, with pictures and sound that last so long, by their times.
fn part(start: i64, pictures: i64, sound: i64) -> Vec<(usize, i64, i64)> {
    let mut part = [packets(0, start, start + pictures), packets(1, start, start + sound)].concat();
    part.sort_by_key(|&(_, time, _)| time);
    part
}

/// What all these packets are shifted by in the end.
fn shifts(packets: &[(usize, i64, i64)]) -> (Vec<i64>, Healer) {
    let mut healer = Healer::new(3);
    let runs: Vec<RunId> = packets.iter().map(|&(stream, time, length)| healer.place(stream, time, length)).collect();
    (runs.into_iter().map(|run| healer.shift_us(run)).collect(), healer)
}

/// The shifts of these parts, put one after the other, of which each must have only one.
fn shifts_of_parts(parts: &[Vec<(usize, i64, i64)>]) -> Vec<i64> {
    let mut shifts = shifts(&parts.concat()).0.into_iter();
    let mut shift_of = |part: &Vec<_>| {
        let mut shifts: Vec<i64> = shifts.by_ref().take(part.len()).collect();
        shifts.dedup();
        assert!(shifts.len() == 1, "{shifts:?}");
        shifts[0]
    };
    parts.iter().map(&mut shift_of).collect()
}

#[test]
fn a_gap_of_up_to_a_minute_stays() {
    let mut healer = Healer::new(1);
    assert_eq!(place(&mut healer, 0, 0, FRAME), 0);
    assert_eq!(place(&mut healer, 0, 59_000_000, FRAME), 0);
    assert!(healer.jumps().is_empty());
}

#[test]
fn a_longer_gap_stays_where_the_packet_before_it_is_told_to_last_so_long() {
    let mut healer = Healer::new(1);
    let slide = 90_000_000;
    assert!((0..5).all(|number| place(&mut healer, 0, number * slide, slide) == 0));
    assert_eq!(healer.reached_us(), Some(5 * slide));
    let shift = place(&mut healer, 0, 7 * slide, slide);
    assert_eq!(shift, 4 * slide + LONGEST_GAP_US - 7 * slide, "longer than it was told");
}

#[test]
fn what_is_told_to_last_for_days_is_not_believed() {
    let mut healer = Healer::new(1);
    let day = 86_400_000_000;
    place(&mut healer, 0, 0, day);
    assert_eq!(place(&mut healer, 0, day, FRAME), LONGEST_GAP_US - day);
}

#[test]
fn a_jump_back_is_healed_for_audio_and_video_together() {
    let mut healer = Healer::new(2);
    place(&mut healer, 0, 10_000_000, FRAME);
    place(&mut healer, 1, 10_010_000, 21_333);
    let shift = place(&mut healer, 0, 1_000_000, FRAME);
    assert_eq!(shift, 9_040_000);
    assert_eq!(place(&mut healer, 1, 1_001_333, 21_333), shift, "audio keeps its place beside the video");
    assert_eq!(healer.jumps(), [Jump { at_us: 10_040_000, shift_us: shift }]);
}

#[test]
fn the_stream_that_has_not_jumped_yet_stays_in_its_epoch() {
    let mut healer = Healer::new(2);
    place(&mut healer, 0, 10_000_000, FRAME);
    place(&mut healer, 1, 9_000_000, 21_333);
    place(&mut healer, 0, 0, FRAME);
    assert_eq!(place(&mut healer, 1, 9_021_333, 21_333), 0);
}

#[test]
fn a_jump_ahead_of_more_than_a_minute_is_healed() {
    let mut healer = Healer::new(1);
    place(&mut healer, 0, 0, FRAME);
    assert_eq!(place(&mut healer, 0, 3_600_000_000, FRAME), FRAME - 3_600_000_000);
}

#[test]
fn video_that_pauses_for_minutes_while_the_sound_goes_on_is_no_jump() {
    let mut healer = Healer::new(2);
    place(&mut healer, 0, 0, FRAME);
    for second in 0..300 {
        place(&mut healer, 1, second * SECOND, SECOND);
    }
    assert_eq!(place(&mut healer, 0, 300_000_000, FRAME), 0);
}

#[test]
fn pictures_that_are_told_only_when_they_are_shown_go_up_and_down_without_a_jump() {
    let mut healer = Healer::new(1);
    assert_eq!([0, 4, 2].map(|time| shown(&mut healer, 0, time * SECOND, SECOND)), [0; 3]);
    assert_eq!(healer.reached_us(), Some(5 * SECOND));
    assert_eq!([-2, 1, 2].map(|time| place(&mut healer, 0, time * SECOND, SECOND)), [0; 3]);
    assert_eq!(shown(&mut healer, 0, 9 * SECOND, SECOND), 0, "one is missing among others");
    assert_eq!(place(&mut healer, 0, 3 * SECOND, SECOND), 0);
    assert!(healer.jumps().is_empty());
    let shift = place(&mut healer, 0, -100 * SECOND, SECOND);
    assert_eq!(shown(&mut healer, 0, -98 * SECOND, SECOND), shift, "shifted like its neighbours");
}

#[test]
fn a_jump_is_found_in_a_stream_that_has_no_decode_times_at_all() {
    let mut healer = Healer::new(1);
    for frame in 0..40 {
        assert_eq!(shown(&mut healer, 0, 10_000_000 + frame * FRAME, FRAME), 0);
    }
    assert_eq!(shown(&mut healer, 0, 100_000_000_000, FRAME), 10_000_000 + 40 * FRAME - 100_000_000_000);
}

#[test]
fn a_stream_that_begins_after_a_jump_begins_in_the_new_epoch() {
    let mut healer = Healer::new(2);
    place(&mut healer, 0, 10_000_000, FRAME);
    let shift = place(&mut healer, 0, 0, FRAME);
    assert_eq!(place(&mut healer, 1, 5_000, 21_333), shift);
}

#[test]
fn where_one_stream_ends_later_than_the_other_the_next_part_begins_after_both() {
    let end = 6 * SECOND;
    assert_eq!(shifts_of_parts(&[part(0, 4 * SECOND, end), part(0, 4 * SECOND, 4 * SECOND)]), [0, end]);
    assert_eq!(shifts_of_parts(&[part(0, end, 4 * SECOND), part(0, 4 * SECOND, 4 * SECOND)]), [0, end]);
    let mut sound_first = part(SECOND, 4 * SECOND, 4 * SECOND);
    sound_first.sort_by_key(|&(stream, time, _)| (time, 1 - stream));
    assert_eq!(shifts_of_parts(&[part(0, end, 4 * SECOND), sound_first.clone()]), [0, end - SECOND]);
    let parts = [part(0, 4 * SECOND, end), sound_first, part(1000 * SECOND, 5 * SECOND, 9 * SECOND), part(0, end, end)];
    assert_eq!(shifts_of_parts(&parts), [0, 5 * SECOND, -990 * SECOND, 19 * SECOND]);
}

#[test]
fn a_clock_that_jumps_in_the_midst_of_a_recording_leaves_no_gap_whichever_stream_is_ahead() {
    for (lead, first) in [(800_000, 0), (800_000, 1), (-800_000, 0), (-800_000, 1)] {
        let old = [packets(0, 0, 10 * SECOND + lead), packets(1, 0, 10 * SECOND)];
        let new = [packets(0, lead, SECOND + lead), packets(1, 0, SECOND)];
        let other = 1 - first;
        let all = [&old[0][..], &old[1], &new[first][..1], &new[other][..1], &new[first][1..], &new[other][1..]];
        let (shifts, healer) = shifts(&all.concat());
        let after = &shifts[old[0].len() + old[1].len()..];
        assert!(after.iter().all(|&shift| shift == 10 * SECOND), "{lead} {first} {after:?}");
        assert_eq!(healer.jumps().len(), 1);
    }
}

#[test]
fn wrong_timestamps_leave_those_after_them_alone_and_are_put_beside_their_neighbours() {
    for wrong in [0, SECOND, 1_400_000, 7 * SECOND, 200 * SECOND] {
        for (stream, count) in [(0, 1), (0, 3), (1, 1), (1, 20)] {
            let mut packets = part(0, 5 * SECOND, 5 * SECOND);
            let is_wrong = |&(of, time, _): &(usize, i64, i64)| {
                let length = if of == 0 { FRAME } else { SOUND };
                of == stream && (2 * SECOND..2 * SECOND + count * length).contains(&time)
            };
            for packet in packets.iter_mut().filter(|packet| is_wrong(packet)) {
                packet.1 += wrong - 2 * SECOND;
            }
            let right = part(0, 5 * SECOND, 5 * SECOND);
            let (shifts, healer) = shifts(&packets);
            for ((told, shift), right) in packets.iter().zip(shifts).zip(right) {
                assert_eq!(told.1 + shift, right.1, "{wrong} {stream} {count}");
            }
            assert_eq!((healer.jumps(), healer.shifts_us(), healer.strays()), (vec![], vec![0], 1));
        }
    }
}

#[test]
fn sound_that_was_away_for_a_part_goes_on_in_the_epoch_of_the_pictures() {
    let three = 3 * SECOND;
    let parts = [part(0, three, three), part(0, three, 0), part(0, three, three)];
    assert_eq!(shifts_of_parts(&parts), [0, three, 2 * three]);
}

#[test]
fn sound_that_begins_just_before_the_pictures_jump_belongs_to_what_comes_after() {
    for clock in [540_000, 1000 * SECOND] {
        let pictures = packets(0, 0, 8 * SECOND);
        let sound = packets(1, clock, clock + 3 * SECOND);
        let rest = packets(0, clock - FRAME, clock + 3 * SECOND);
        let (shifts, healer) = shifts(&[&pictures[..], &sound[..4], &rest[..], &sound[4..]].concat());
        let shift = 8 * SECOND - (clock - FRAME);
        assert!(shifts[pictures.len()..].iter().all(|&found| found == shift), "{shifts:?}");
        assert_eq!(healer.jumps(), [Jump { at_us: 8 * SECOND, shift_us: shift }]);
    }
}

#[test]
fn sound_that_begins_late_but_belongs_to_the_pictures_stays_with_them() {
    let sound = packets(1, 0, 8 * SECOND);
    let packets = [packets(0, 0, 8 * SECOND), sound, part(0, 8 * SECOND, 8 * SECOND)].concat();
    assert!(shifts(&packets).0[..600].iter().all(|&shift| shift == 0));
}

#[test]
fn sound_that_is_longer_than_the_pictures_keeps_them_company_where_their_clock_goes_on() {
    assert_eq!(shifts_of_parts(&[part(0, 4 * SECOND, 6 * SECOND), part(4 * SECOND, SECOND, SECOND)]), [0, 0]);
    // They do also where both had a gap long before.
    let gap = [part(0, SECOND, SECOND), part(20 * SECOND, 4 * SECOND, 6 * SECOND)];
    assert_eq!(shifts_of_parts(&[&gap[..], &[part(24 * SECOND, SECOND, SECOND)]].concat()), [0, 0, 0]);
}

#[test]
fn sound_with_a_short_gap_where_the_pictures_jump_by_little_jumps_with_them() {
    let end = 4_680_000;
    assert_eq!(shifts_of_parts(&[part(0, end, 3_620_000), part(end - 560_000, end, end)]), [0, 560_000]);
}

/// A time at which a clock may be, often near 0.
fn clock() -> impl Strategy<Value = i64> {
    prop_oneof![0..3000 * SECOND, 0..30 * SECOND]
}

proptest! {
    #[test]
    fn however_parts_are_joined_sound_stays_with_its_pictures(
        parts in proptest::collection::vec((clock(), 2 * SECOND..20 * SECOND, 2 * SECOND..20 * SECOND), 1..6),
        lead in -900_000..900_000_i64,
    ) {
        let mut parts: Vec<_> = parts.into_iter().map(|(start, shown, heard)| part(start, shown, heard)).collect();
        // Containers store one stream somewhat before the other.
        for part in &mut parts {
            part.sort_by_key(|&(stream, time, _)| if stream == 0 { time - lead } else { time });
        }
        shifts_of_parts(&parts);
    }

    #[test]
    fn one_wrong_time_anywhere_moves_nothing_else(
        lead in 0..2 * SECOND,
        second in clock(),
        packet in any::<proptest::sample::Index>(),
        wrong in clock(),
    ) {
        let mut packets = part(0, 8 * SECOND + lead, 8 * SECOND);
        // Neither the first nor the last of its stream in a part.
        let place = 4 + packet.index(packets.len() - 160);
        packets.extend(part(second, 8 * SECOND, 8 * SECOND));
        let right = shifts(&packets).0;
        packets[place].1 = wrong;
        let mut found = shifts(&packets).0;
        found[place] = right[place];
        prop_assert_eq!(found, right);
    }
}
