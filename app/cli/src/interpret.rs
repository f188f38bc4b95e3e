//! `cruxscope interpret`: from a model and its annotated traces to a study.

use std::sync::Arc;

use clap::Args;
use cruxscope_model::device;
use cruxscope_run::RunError;
use cruxscope_run::interpret::PlannedRun;
use cruxscope_run::machine::{format_bytes, format_duration, peak_memory};
use cruxscope_study::{Behaviour, Definition};
use cruxscope_window::open_window_to_run;
use cruxscope_window::runs::{Form, Task};

use crate::failure::Failure;
use crate::output::{print_json, status};
use crate::progress::Progress;
use crate::runs::EngineRunner;
use crate::settings::Interpretation;
use crate::show;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    interpretation: Interpretation,
    /// Fill the window's panel of runs in with this, to start and to watch it there
    #[arg(long, conflicts_with_all = ["plan_only", "json"])]
    window: bool,
    /// Print the plan and stop
    #[arg(long = "dry-run", alias = "plan-only")]
    plan_only: bool,
    /// Print the result as JSON, as `cruxscope show --json` does
    #[arg(long)]
    json: bool,
}

/// What the window's panel is filled in with.
fn form(arguments: &Interpretation) -> Form {
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let settings = arguments.source.settings();
    let number = |number: Option<usize>| number.map_or_else(String::new, |number| number.to_string());
    Form {
        task: Task::Interpret,
        model: text(&arguments.source.model),
        traces: text(&settings.traces),
        annotations: text(&settings.annotations),
        out: text(&arguments.out),
        device: arguments.machine.device.clone(),
        released: settings.definition == Definition::Released,
        channels: arguments.channels,
        instances: number(settings.first),
        max_tokens: number(settings.max_tokens),
        ..Form::default()
    }
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.window {
        return open_window_to_run(form(&arguments.interpretation), Arc::new(EngineRunner), crate::settings::remembered()).map_err(Failure::failed);
    }
    let interpretation = &arguments.interpretation;
    interpretation.machine.prepare_process()?;
    let settings = interpretation.settings();
    if !arguments.plan_only {
        // A device that is not here can be planned for, which takes a reading of the whole model; nothing more.
        device::find(&settings.device).map_err(RunError::from)?;
    }
    let mut progress = Progress::new();
    let planned = PlannedRun::new(settings, &mut progress)?;
    print_plan(&planned);
    if arguments.plan_only {
        progress.finish();
        return Ok(());
    }
    let planned_memory = planned.plan.memory().machine;
    let result = planned.run(&mut progress);
    progress.finish();
    let outcome = result?;
    if outcome.was_complete {
        status!("the study was complete already");
    } else if let Some(peak) = peak_memory() {
        status!("peak memory {}, planned {}", format_bytes(peak), format_bytes(planned_memory));
    }
    status!(
        "study saved in {}; `cruxscope view {}` opens it",
        interpretation.out.display(),
        interpretation.out.display()
    );
    if arguments.json {
        print_json(&show::summary(&outcome.study, show::TOP)?)
    } else {
        show::print(&outcome.study, 3)
    }
}

/// The plan, on stderr, before anything is computed.
pub fn print_plan(planned: &PlannedRun) {
    let (plan, instances) = (&planned.plan, planned.instances());
    status!("model         {} on {}", planned.model_name(), planned.device());
    status!("instances     {} ({} tokens, the longest {})", plan.instances, plan.tokens, plan.longest);
    let counts: Vec<String> = Behaviour::ALL
        .iter()
        .map(|behaviour| {
            let count = instances
                .items
                .iter()
                .flat_map(|work| &work.segments)
                .filter(|segment| segment.behaviour == *behaviour)
                .count();
            format!("{behaviour} {count}")
        })
        .collect();
    status!("segments      {} ({}); {} dropped", plan.segments, counts.join(", "), plan.dropped);
    let cut: usize = instances.tokens_cut.iter().sum();
    if cut > 0 {
        status!("cut           {cut} tokens lie beyond the cap and are not read");
    }
    if !instances.unpaired.is_empty() {
        status!("unpaired      {} ids stand in the traces or in the annotations only", instances.unpaired.len());
    }
    for placed in &plan.placement.words {
        status!("{:<13} {}", placed.what, placed.place);
    }
    let memory = plan.memory();
    if memory.device > 0 {
        status!("memory        about {} of the device's own", format_bytes(memory.device));
    }
    status!(
        "memory        about {} of the machine's; {} on the disk until the study is put together",
        format_bytes(memory.machine),
        format_bytes(plan.disk)
    );
    let time = plan.time.map_or_else(|| "unknown".to_owned(), format_duration);
    status!("work          {:.2} TFLOP, about {time}", plan.operations / 1e12);
}
