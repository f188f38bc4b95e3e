//! A page's address as options: the pairs after the question mark, and the defaults that the page carries; and back, when
//! the view has changed.
//!
//! It knows which keys concern the page itself; what the others mean is known to the window alone.

/// The key that names a study.
const STUDY: &str = "study";
/// The key that names a renderer; it concerns the page, not the window.
const RENDERER: &str = "renderer";

/// What draws the canvas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Renderer {
    /// The one that works in most browsers; a heatmap gains nothing from the newer one.
    #[default]
    WebGl,
    /// The newer one, by wish or where the other is missing.
    WebGpu,
}

impl Renderer {
    /// The renderer of this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "webgl" => Some(Self::WebGl),
            "webgpu" => Some(Self::WebGpu),
            _ => None,
        }
    }
}

/// An address taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The options of the window, in the order of the address.
    pub pairs: Vec<(String, String)>,
    /// The renderer that the address asks for.
    pub renderer: Option<Renderer>,
    /// What could not be understood, in words.
    pub complaints: Vec<String>,
}

impl Address {
    /// Takes the decoded pairs of an address apart. Where it names no study, `default_study` is opened.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>, default_study: Option<&str>) -> Self {
        let mut address = Self::default();
        for (key, value) in pairs {
            if key != RENDERER {
                address.pairs.push((key, value));
                continue;
            }
            address.renderer = Renderer::from_name(&value);
            if address.renderer.is_none() {
                address
                    .complaints
                    .push(format!("\"{value}\" is no renderer; known are webgl and webgpu, and the first of them is used"));
            }
        }
        let names_a_study = address.pairs.iter().any(|(key, value)| key == STUDY && !value.is_empty());
        if let Some(study) = default_study.filter(|study| !names_a_study && !study.is_empty()) {
            address.pairs.retain(|(key, _)| key != STUDY);
            address.pairs.push((STUDY.to_owned(), study.to_owned()));
        }
        address
    }
}

/// The pairs of an address: what the fragment says of a key goes before what the query says of it.
pub fn merged(query: Vec<(String, String)>, fragment: Vec<(String, String)>) -> Vec<(String, String)> {
    let others = query.into_iter().filter(|(key, _)| !fragment.iter().any(|(known, _)| known == key));
    let others: Vec<_> = others.collect();
    fragment.into_iter().chain(others).collect()
}

/// What of the query stays when the window's state has moved into the fragment: what the window does not know, such as a renderer.
/// `keys` are all that the window knows.
pub fn kept(query: Vec<(String, String)>, keys: &[&str]) -> Vec<(String, String)> {
    query.into_iter().filter(|(key, _)| !keys.contains(&key.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_page_s_own_study_is_opened_only_where_the_address_names_none() {
        let bare = Address::new(pairs(&[("theme", "dark")]), Some("studies/example"));
        assert_eq!(bare.pairs, pairs(&[("theme", "dark"), ("study", "studies/example")]));
        let empty = Address::new(pairs(&[("study", "")]), Some("studies/example"));
        assert_eq!(empty.pairs, pairs(&[("study", "studies/example")]));
        let named = Address::new(pairs(&[("study", "studies/mine")]), Some("studies/example"));
        assert_eq!(named.pairs, pairs(&[("study", "studies/mine")]));
        assert_eq!(Address::new(Vec::new(), Some("")).pairs, Vec::new());
    }

    #[test]
    fn the_fragment_goes_before_the_query_and_what_is_the_page_s_stays() {
        let query = pairs(&[("study", "a"), ("renderer", "webgpu"), ("scale", "log"), ("visit", "7")]);
        let fragment = pairs(&[("study", "b"), ("study", "c"), ("view", "shift")]);
        let expected = pairs(&[
            ("study", "b"),
            ("study", "c"),
            ("view", "shift"),
            ("renderer", "webgpu"),
            ("scale", "log"),
            ("visit", "7"),
        ]);
        assert_eq!(merged(query.clone(), fragment), expected);
        assert_eq!(merged(query.clone(), Vec::new()), query);
        assert_eq!(kept(query, &["study", "scale", "view"]), pairs(&[("renderer", "webgpu"), ("visit", "7")]));
    }

    #[test]
    fn the_renderer_is_kept_from_the_window() {
        let address = Address::new(pairs(&[("renderer", "webgpu"), ("view", "ranking")]), None);
        assert_eq!((address.renderer, address.pairs), (Some(Renderer::WebGpu), pairs(&[("view", "ranking")])));
        let wrong = Address::new(pairs(&[("renderer", "crayon")]), None);
        assert_eq!(wrong.renderer, None);
        assert!(wrong.complaints[0].contains("crayon"), "{:?}", wrong.complaints);
    }
}
