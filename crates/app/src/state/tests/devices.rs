//! Devices: the preview, what is chosen, and trouble.

use super::*;

#[test]
fn the_preview_is_for_outside_a_call_and_for_those_who_look() {
    let mut window = Window::home();
    window.command(Command::SetPreview { on: true });
    let expected = [Effect::SetPreview(true), Effect::WatchForPicture(PictureView::Local)];
    assert_eq!(window.effects()[..2], expected);
    window.input(Input::Picture(PictureView::Local));
    assert!(window.view().preview.picture);
    window.input(Input::Visible(false));
    assert_eq!(window.effects(), [Effect::SetPreview(false)]);
    assert!(!window.view().preview.on && !window.view().preview.picture);
    window.input(Input::Visible(true));
    assert!(!window.view().preview.on, "whoever calls shows the window, and turns on no camera");
    window.command(Command::SetPreview { on: true });
    window.effects();
    window.input(Input::Attached);
    assert_eq!(window.effects(), [Effect::SetPreview(false)]);
}

#[test]
fn no_camera_stays_on_behind_a_screen_that_does_not_show_it() {
    let mut window = Window::home();
    window.command(Command::SetPreview { on: true });
    window.command(Command::SignOut);
    assert!(!window.view().preview.on);
}

#[test]
fn the_camera_goes_from_the_preview_to_the_call_without_a_gap() {
    let mut window = Window::home();
    window.command(Command::SetPreview { on: true });
    window.dial("bob");
    window.event(Event::Accepted { call: call_id(1), by: bob(), video: Some(true) });
    assert!(window.view().preview.on, "the call takes it over only when it sends");
    window.effects();
    window.event(Event::Connected { call: call_id(1), path: "host" });
    assert_eq!(window.effects(), [Effect::SetPreview(false)]);
    assert_eq!(window.refuses(Command::SetPreview { on: true }), CommandErrorCode::OutOfPlace);
}

#[test]
fn a_call_without_picture_turns_the_preview_off_at_once() {
    let mut window = Window::home();
    window.command(Command::SetPreview { on: true });
    window.command(Command::Dial { username: "bob".into(), video: false });
    assert!(!window.view().preview.on);
    let mut window = Window::home();
    window.command(Command::SetPreview { on: true });
    window.rings(7, "bob");
    assert!(window.view().preview.on);
    window.command(Command::Accept { from: "bob".into(), video: false });
    assert!(!window.view().preview.on);
}

#[test]
fn the_system_is_asked_again_only_while_somebody_looks_or_talks() {
    let mut window = Window::home();
    window.input(with_cameras(vec![]));
    assert_eq!(window.state.poll_timeout(), None);
    window.command(Command::SetPreview { on: true });
    window.input(with_cameras(vec![]));
    window.effects();
    window.wait_and_tick(3);
    assert_eq!(window.effects(), [Effect::ListHardware]);
    window.command(Command::RefreshDevices);
    window.command(Command::RefreshDevices);
    assert_eq!(window.effects(), [], "one question at a time");
    window.input(with_cameras(vec![]));
    assert_eq!(window.effects(), [Effect::ListHardware], "and one more after it");
}

#[test]
fn a_device_is_chosen_by_its_id_and_remembered_with_its_name() {
    let mut window = Window::home();
    let choose = |id: &str| Command::ChooseDevice { device: DeviceKind::Camera, id: Some(id.into()) };
    assert_eq!(window.refuses(choose("usb-1")), CommandErrorCode::Invalid, "nothing was found yet");
    window.input(with_cameras(vec![webcam()]));
    window.command(choose("usb-1"));
    assert_eq!(window.effects(), [chooses_camera("usb-1"), Effect::WriteSettings]);
    assert_eq!(window.view().devices.cameras.chosen.as_deref(), Some("usb-1"));
    let remembered = window.state.settings().devices.camera.clone();
    assert_eq!(remembered, Some(RememberedDevice { id: "usb-1".into(), name: "Webcam".into() }));
    assert_eq!(window.refuses(choose(&"x".repeat(100_000))), CommandErrorCode::Invalid);
    window.command(Command::ChooseDevice { device: DeviceKind::Camera, id: None });
    assert_eq!(window.effects()[0], Effect::ChooseDevices(ChosenDevices::default()));
}

#[test]
fn a_device_that_moved_to_another_port_is_found_by_its_name() {
    let device = RememberedDevice { id: "usb-0".into(), name: "Webcam".into() };
    let devices = ChosenByPerson { camera: Some(device), ..ChosenByPerson::default() };
    let mut window = Window::new(&Options::new("/data".into()), Settings { devices, ..Settings::default() });
    window.effects();
    let twin = DeviceChoice { id: "usb-2".into(), ..webcam() };
    window.input(with_cameras(vec![webcam(), twin]));
    assert_eq!(window.effects(), [], "which of two is meant is not known");
    window.input(with_cameras(vec![webcam()]));
    assert_eq!(window.effects(), [chooses_camera("usb-1"), Effect::WriteSettings]);
    window.input(with_cameras(vec![]));
    assert_eq!(window.effects(), [], "one that is unplugged stays chosen");
    assert_eq!(window.view().devices.cameras.chosen.as_deref(), Some("usb-1"));
}

#[test]
fn the_command_line_chooses_devices_until_the_person_does() {
    let mut options = Options::new("/data".into());
    options.devices = Overrides {
        camera: Some(SourceSpec::Pattern),
        microphone: Some(SourceSpec::Tone),
        speaker: Some(SinkSpec::None),
    };
    let mut window = Window::new(&options, Settings::default());
    let chosen = window.state.chosen_devices();
    assert_eq!(
        (chosen.camera, chosen.microphone, chosen.speaker),
        (SourceSpec::Pattern, SourceSpec::Tone, SinkSpec::None)
    );
    window.input(with_cameras(vec![webcam()]));
    window.command(Command::ChooseDevice { device: DeviceKind::Camera, id: Some("usb-1".into()) });
    let chosen = window.state.chosen_devices();
    assert_eq!((chosen.camera, chosen.speaker), (SourceSpec::Device("usb-1".into()), SinkSpec::None));
}

#[test]
fn noise_suppression_is_switched_at_once_in_a_call_too_and_as_it_was_after_a_restart() {
    let mut window = Window::in_call();
    assert!(window.view().settings.noise_suppression, "unless somebody says otherwise");
    window.command(Command::SetNoiseSuppression { on: false });
    assert_eq!(window.effects(), [Effect::SuppressNoise(false), Effect::WriteSettings]);
    assert!(!window.view().settings.noise_suppression);
    let kept = window.state.settings().clone();
    let mut restarted = Window::new(&Options::new("/data".into()), kept);
    assert!(restarted.effects().contains(&Effect::SuppressNoise(false)));
    assert!(!restarted.view().settings.noise_suppression);
    restarted.command(Command::SetNoiseSuppression { on: true });
    assert_eq!(restarted.effects(), [Effect::SuppressNoise(true), Effect::WriteSettings]);
}

#[test]
fn why_there_is_nothing_to_choose_is_said() {
    let mut window = Window::home();
    assert_eq!(window.view().devices.cameras.problem, None, "not known yet");
    let sound_problem = Some("the sound server does not answer".to_owned());
    window.input(Input::Hardware(Ok(Hardware { sound_problem, ..Hardware::default() })));
    let devices = window.view().devices;
    assert!(devices.cameras.problem.unwrap().contains("No camera"));
    assert_eq!(devices.microphones.problem.as_deref(), Some("the sound server does not answer"));
    window.input(Input::Hardware(Err("The system does not answer.".into())));
    assert_eq!(window.view().devices.speakers.problem.as_deref(), Some("The system does not answer."));
    window.input(with_cameras(vec![webcam()]));
    assert_eq!(window.view().devices.cameras.problem, None);
}

#[test]
fn trouble_with_a_device_is_a_notice_and_a_reason_to_look_again() {
    let mut window = Window::in_call();
    window.input(with_cameras(vec![]));
    window.event(Event::MediaFailed { call: call_id(1), message: "the camera is in use".into() });
    assert_eq!(window.notices(), ["The camera is in use."]);
    assert_eq!(window.effects(), [Effect::ListHardware]);
    let id = window.view().notices[0].id;
    window.command(Command::Dismiss { id });
    assert_eq!(window.notices(), [] as [String; 0]);
}
