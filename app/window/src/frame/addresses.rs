//! Addresses that a click asked for, opened in the system's browser. In the page the browser does it itself.

use egui::{Context, OutputCommand};

/// Opens what this frame's hyperlinks asked for; gives a sentence for each that could not be opened.
pub fn open(context: &Context) -> Vec<String> {
    take(context)
        .into_iter()
        .filter_map(|address| {
            let error = open::that_detached(&address).err()?;
            Some(format!("{address} could not be opened in a browser: {error}"))
        })
        .collect()
}

/// Takes the addresses out of what the frame asks of the system.
fn take(context: &Context) -> Vec<String> {
    context.output_mut(|output| {
        let mut addresses = Vec::new();
        output.commands.retain(|command| match command {
            OutputCommand::OpenUrl(asked) => {
                addresses.push(asked.url.clone());
                false
            }
            _ => true,
        });
        addresses
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_leave_the_output_and_the_rest_stays() {
        let context = Context::default();
        context.send_cmd(OutputCommand::CopyText("a protection list".to_owned()));
        context.open_url(egui::OpenUrl::new_tab("https://example.org/a"));
        context.open_url(egui::OpenUrl::same_tab("https://example.org/b"));
        assert_eq!(take(&context), ["https://example.org/a", "https://example.org/b"]);
        context.output(|output| assert!(matches!(output.commands.as_slice(), [OutputCommand::CopyText(_)])));
    }
}
