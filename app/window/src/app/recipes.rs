//! Ways out for the recipe of a budget: into files of other tools, and into the panel of runs.

use cruxscope_selectors::status;
use cruxscope_study::allocation::export::{Exported, Tool, export};
use egui::Context;

use super::CruxscopeApp;
use crate::open;

impl CruxscopeApp {
    /// Saves the recipe that is on in the words of a tool.
    pub(super) fn export_recipe(&mut self, context: &Context, tool: Tool) {
        match self.recipe(tool) {
            Ok(files) => {
                for (name, file) in files {
                    open::save(self.library.inbox(), None, &name, file.text.into_bytes());
                }
            }
            Err(why) => self.note(context, why),
        }
    }

    /// The files of the recipe with their names, or why there are none.
    pub(crate) fn recipe(&self, tool: Tool) -> Result<Vec<(String, Exported)>, String> {
        let on = self.budget.as_ref().and_then(|open| open.plan());
        let (budget, plan) = on.ok_or_else(|| "There is no recipe".to_owned())?;
        let open = self.library.studies.get(self.state.active);
        let title = open.map_or("recipe", |open| status::title(&open.study));
        let stem = format!("{}-{:.2}-bits", cruxscope_figure::file_stem(title), plan.cost.bits_per_weight);
        let files = export(tool, budget.sensitivity(), &plan.choice).map_err(|error| error.to_string())?;
        Ok(files.into_iter().map(|file| (format!("{stem}.{}", file.ending), file)).collect())
    }

    /// Fills the panel of runs in with the recipe, which is kept in a file beside what the window remembers.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn compress_by_recipe(&mut self, context: &Context) {
        let kept = self.recipe(Tool::Cruxscope).and_then(|files| {
            let (name, file) = files.into_iter().next().ok_or_else(|| "There is no recipe".to_owned())?;
            let missing = || "There is no folder to keep the recipe in: export it, and choose it there".to_owned();
            let folder = self.remembered.folder().ok_or_else(missing)?.join("recipes");
            std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
            let path = folder.join(name);
            cruxscope_study::folder::write_atomically(&path, file.text.as_bytes()).map_err(|error| error.to_string())?;
            Ok(path)
        });
        match (kept, &mut self.runs) {
            (Ok(path), Some(runs)) => {
                runs.form.task = crate::runs::Task::Compress;
                runs.form.recipe = path.to_string_lossy().into_owned();
                self.state.runs = true;
            }
            (Ok(_), None) => self.note(context, "Nobody computes here".to_owned()),
            (Err(why), _) => self.note(context, why),
        }
    }

    /// A page computes nothing.
    #[cfg(target_arch = "wasm32")]
    pub(super) fn compress_by_recipe(&mut self, context: &Context) {
        self.note(context, "The page computes nothing: export the recipe".to_owned());
    }
}
