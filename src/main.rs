//! The shell: the real environment in, the real standard output out, one exit code.

use ecs_task_role::trouble::Trouble;
use ecs_task_role::workflow::channel::Channel;
use std::mem;
use std::process::ExitCode;

/// musl's own takes a page from the system for nearly every size, and gives it back just as eagerly: some forty system calls and
/// page faults in a run that lasts less than a millisecond.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|_| last_words()));
    let Ok(mut channel) = Channel::open(ecs_task_role::inputs::debug()) else {
        // Nobody to tell.
        return ExitCode::FAILURE;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // A handful of sockets is all there is; room for the default of 1024 would be 12 KB.
        .max_io_events_per_tick(64)
        .build();
    let Ok(runtime) = runtime else {
        channel.fail(
            Trouble::Internal,
            "the system did not let the program wait for input",
        );
        let _ = channel.flush();
        return ExitCode::FAILURE;
    };
    let went_well = runtime.block_on(ecs_task_role::run(&mut channel));
    // What it holds ends with the process: nobody waits for it to be taken down piece by piece.
    mem::forget(runtime);
    if went_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What a panic leaves: one line, with nothing of its message, which may quote anything.
fn last_words() {
    if let Ok(mut channel) = Channel::open(false) {
        channel.take_over();
        channel.fail(
            Trouble::Internal,
            "the program met a fault of its own and stopped",
        );
        let _ = channel.flush();
    }
    #[expect(
        clippy::exit,
        reason = "a panic must end as exit code 1, in a library's thread too"
    )]
    std::process::exit(1);
}
