//! What the page's script holds on to: it starts the window on a canvas, tells of a panic, and ends it.
//!
//! The script decides when; this file decides how the browser's renderer is asked for. Loading screen and words about errors
//! stand in the page itself, since they must also be there when nothing of this runs.

use eframe::WebRunner;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::*;
use web_sys::HtmlCanvasElement;

use crate::address::{self, Address, Renderer};

/// The running window, as the page's script sees it.
#[wasm_bindgen]
pub struct WebHandle {
    runner: WebRunner,
}

#[wasm_bindgen]
impl WebHandle {
    /// A window that has not been started; from here on, panics and warnings reach the browser's console.
    #[wasm_bindgen(constructor)]
    #[expect(clippy::new_without_default, reason = "scripts know constructors, not default values")]
    pub fn new() -> Self {
        // A second window on the same page finds the logger in place, which is as good.
        eframe::WebLogger::init(log::LevelFilter::Warn).ok();
        Self { runner: WebRunner::new() }
    }

    /// Starts on a canvas, with the options of the page's address. The canvas may carry `data-default-study`, opened where
    /// the address names none, and `data-renderer`, used where the address asks for none.
    ///
    /// # Errors
    /// When the browser gives no graphics device, or the window could not be made.
    pub async fn start(&self, canvas: HtmlCanvasElement) -> Result<(), JsValue> {
        let carried = canvas.dataset();
        let address = Address::new(pairs()?, carried.get("defaultStudy").as_deref());
        let fallback = carried.get("renderer").and_then(|name| Renderer::from_name(&name)).unwrap_or_default();
        let (startup, unknown) = cruxscope_window::StartupOptions::from_pairs(address.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        for complaint in address.complaints.iter().chain(&unknown) {
            log::warn!("{complaint}");
        }
        let options = web_options(address.renderer.unwrap_or(fallback));
        let make = Box::new(move |cc: &eframe::CreationContext<'_>| {
            let mut app = cruxscope_window::CruxscopeApp::new(cc, startup);
            match page_address() {
                Ok(page) => app = app.at_address(page),
                Err(error) => log::warn!("the page's address could not be read: {error:?}"),
            }
            let app = app
                .remembering(cruxscope_window::remembered::Remembered::of_page())
                .telling_its_link(|pairs| {
                    if let Err(error) = replace_fragment(pairs) {
                        log::warn!("the page's address could not be changed: {error:?}");
                    }
                })
                .telling(|told| {
                    if let Err(error) = pass_on(&told) {
                        log::warn!("the page could not be told: {error:?}");
                    }
                });
            Ok(Box::new(app) as Box<dyn eframe::App>)
        });
        self.runner.start(canvas, options, make).await
    }

    /// Shows what the page's address says now: a link that was pasted over the one before it.
    ///
    /// # Errors
    /// When the page has no address.
    pub fn follow_address(&self) -> Result<(), JsValue> {
        let address = Address::new(pairs()?, None);
        let (options, unknown) = cruxscope_window::StartupOptions::from_pairs(address.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        for complaint in &unknown {
            log::warn!("{complaint}");
        }
        if let Some(mut app) = self.runner.app_mut::<cruxscope_window::CruxscopeApp>() {
            app.show(&options);
        }
        Ok(())
    }

    /// Whether the window has panicked; nothing else can be asked of it then but the message.
    pub fn has_panicked(&self) -> bool {
        self.runner.has_panicked()
    }

    /// What the panic said, if there was one.
    pub fn panic_message(&self) -> Option<String> {
        self.runner.panic_summary().map(|summary| summary.message())
    }

    /// Ends the window and gives its resources back.
    pub fn destroy(&self) {
        self.runner.destroy();
    }
}

/// Passes on to the page what a canvas cannot say: problems as words for readers of the screen, and when a figure is seen.
fn pass_on(told: &cruxscope_window::Notification) -> Result<(), JsValue> {
    let window = web_sys::window().ok_or_else(|| JsValue::from_str("there is no browser window"))?;
    let document = window.document().ok_or_else(|| JsValue::from_str("there is no document"))?;
    match told {
        cruxscope_window::Notification::Problems(problems) => {
            if let Some(said) = document.get_element_by_id("said") {
                // Text, whatever it holds: a study's words never become tags.
                said.set_text_content(Some(&problems.join("\n")));
            }
        }
        cruxscope_window::Notification::FigureSeen => {
            let root: Option<web_sys::HtmlElement> = document.document_element().and_then(|root| root.dyn_into().ok());
            if let (Some(root), Some(performance)) = (root, window.performance()) {
                root.dataset().set("figureAfter", &format!("{:.0}", performance.now()))?;
            }
        }
    }
    Ok(())
}

/// The pairs after the question mark of the page's address, decoded.
fn query_pairs() -> Result<Vec<(String, String)>, JsValue> {
    let window = web_sys::window().ok_or_else(|| JsValue::from_str("there is no browser window"))?;
    Ok(cruxscope_window::link::read(&window.location().search()?))
}

/// The pairs of the page's address: those after the hash, which is what the window writes, and those after the question mark.
fn pairs() -> Result<Vec<(String, String)>, JsValue> {
    let window = web_sys::window().ok_or_else(|| JsValue::from_str("there is no browser window"))?;
    let fragment = cruxscope_window::link::read(&window.location().hash()?);
    // Another page's anchor is no state.
    let known = |(key, _): &(String, String)| cruxscope_window::StartupOptions::KEYS.contains(&key.as_str());
    Ok(address::merged(query_pairs()?, fragment.into_iter().filter(known).collect()))
}

/// The path of the page and what of its query is not the window's.
fn page_path() -> Result<String, JsValue> {
    let window = web_sys::window().ok_or_else(|| JsValue::from_str("there is no browser window"))?;
    let query = web_sys::UrlSearchParams::new()?;
    for (key, value) in address::kept(query_pairs()?, &cruxscope_window::StartupOptions::KEYS) {
        query.append(&key, &value);
    }
    let query = query
        .to_string()
        .as_string()
        .filter(|query| !query.is_empty())
        .map_or_else(String::new, |query| format!("?{query}"));
    Ok(format!("{}{query}", window.location().pathname()?))
}

/// The whole address of the page, without what follows the view.
fn page_address() -> Result<String, JsValue> {
    let window = web_sys::window().ok_or_else(|| JsValue::from_str("there is no browser window"))?;
    Ok(format!("{}{}", window.location().origin()?, page_path()?))
}

/// Writes the link to what is seen into the page's address, in the place of the present one: going back leaves the page.
fn replace_fragment(pairs: &[(&'static str, String)]) -> Result<(), JsValue> {
    let window = web_sys::window().ok_or_else(|| JsValue::from_str("there is no browser window"))?;
    let address = format!("{}{}", page_path()?, cruxscope_window::link::text(pairs));
    window.history()?.replace_state_with_url(&JsValue::NULL, "", Some(&address))
}

fn web_options(renderer: Renderer) -> eframe::WebOptions {
    let mut options = eframe::WebOptions::default();
    if let egui_wgpu::WgpuSetup::CreateNew(create_new) = &mut options.wgpu_options.wgpu_setup {
        create_new.instance_descriptor.backends = match renderer {
            Renderer::WebGl => wgpu::Backends::GL,
            Renderer::WebGpu => wgpu::Backends::BROWSER_WEBGPU,
        };
    }
    options
}
