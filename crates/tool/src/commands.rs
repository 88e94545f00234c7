//! The commands, one file each.

mod black;
mod change;
mod create;
mod daemon;
mod forgive;
mod generate;
mod import;
mod info;
mod list;
mod policy;
mod resize;
mod show;
mod verify;
mod white;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;
use crate::output::Output;

/// What a command that was carried out has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Yes, or done.
    Positive,
    /// No: not listed, nothing to forgive, not sound.
    Negative,
}

impl Finding {
    /// Positive if so.
    fn of(positive: bool) -> Self {
        if positive { Self::Positive } else { Self::Negative }
    }
}

/// Carries out the command.
pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> Result<Finding, Failure> {
    let path = &arguments.table();
    match &arguments.command {
        Command::Create(create) => create::run(path, create, output),
        Command::Info(info) if info.daemon => daemon::run(&info.control, output),
        Command::Info(_) => info::run(path, output),
        Command::Show { address } => show::run(path, *address, output),
        Command::List(list) => list::run(path, list, output),
        Command::Black(black) => black::run(path, black, output),
        Command::White { address, seconds } => white::run(path, *address, *seconds, output),
        Command::Forgive { address } => forgive::run(path, *address, output),
        Command::Verify { repair } => verify::run(path, *repair, output),
        Command::Resize { slots } => resize::run(path, *slots, output),
        Command::Import(import) => import::run(path, import, output),
        Command::Policy(policy) => policy::run(arguments.named_table(), policy, output),
        Command::Completions { shell } => generate::completions(*shell, output),
        Command::Man { directory } => generate::man(directory.as_deref(), output),
    }
}
