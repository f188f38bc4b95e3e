//! Numbers that no machine can follow are refused in a sentence, with exit code 2, before anything is written.

use crate::inputs::{Inputs, cruxscope, stderr};

#[test]
fn numbers_beyond_reason_are_refused_where_they_are_read() {
    let inputs = Inputs::new();
    let model = inputs.path("model").display().to_string();
    let run = [
        "benchmark",
        "run",
        "--data",
        "d",
        "--endpoint",
        "http://127.0.0.1:9/v1",
        "--model",
        "m",
        "--out",
        "o",
    ];
    let generate = ["generate", "--model", &model, "--prompt", "a"];
    let compress = ["compress", "--model", &model, "--out", "o", "--method", "rtn"];
    let cases: [(&[&str], &str, &[&str]); 8] = [
        (&run, "--passes", &["4e9", "4000000000", "0", "-1"]),
        (&run, "--parallel", &["0", "1000000"]),
        (&run, "--temperature", &["nan", "inf", "1e300"]),
        (&run, "--top-p", &["0", "1.5", "nan"]),
        (&generate, "--threads", &["20000", "0"]),
        (&generate, "--samples", &["0", "18446744073709551615"]),
        (&compress, "--windows", &["0"]),
        (&compress, "--sequence-length", &["0", "1", "99999999999999"]),
    ];
    for (command, flag, values) in cases {
        for value in values {
            let output = cruxscope()
                .args(command)
                .arg(format!("{flag}={value}"))
                .current_dir(inputs.folder.path())
                .output()
                .unwrap();
            let talk = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{flag} {value}: {talk}");
            assert!(talk.contains("it must be a"), "{flag} {value}: {talk}");
            assert!(!inputs.path("o").exists());
        }
    }
}
