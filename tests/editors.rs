//! `hoist lsp`, as an editor talks with it.

use std::io::{BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use lsp_server::{Message, Notification, Request, RequestId};
use lsp_types::notification::{
    DidChangeTextDocument, DidOpenTextDocument, Exit, Initialized, Notification as _, PublishDiagnostics,
};
use lsp_types::request::{
    Completion, DocumentSymbolRequest, Formatting, HoverRequest, Initialize, Request as _, Shutdown,
    SignatureHelpRequest,
};
use serde_json::{Value, json};

use crate::harness::Hoist;

const FILE: &str = "file:///nowhere/a.rhai";

struct Editor {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    asked: i32,
}

impl Editor {
    fn open(hoist: &Hoist, text: &str) -> Editor {
        let mut command = hoist.command(&["lsp"]).into_command();
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut editor = Editor {
            input: process.stdin.take().unwrap(),
            output: BufReader::new(process.stdout.take().unwrap()),
            process,
            asked: 0,
        };
        let can = editor.ask(Initialize::METHOD, json!({"capabilities": {}}));
        assert_eq!(can["capabilities"]["documentFormattingProvider"], true);
        editor.tell(Initialized::METHOD, json!({}));
        let document = json!({"uri": FILE, "languageId": "rhai", "version": 1, "text": text});
        editor.tell(DidOpenTextDocument::METHOD, json!({"textDocument": document}));
        editor
    }

    fn send(&mut self, message: &Message) {
        message.write(&mut self.input).unwrap();
        self.input.flush().unwrap();
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.send(&Notification::new(method.to_owned(), params).into());
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = RequestId::from(self.asked);
        self.send(&Request::new(id.clone(), method.to_owned(), params).into());
        let answer = serde_json::to_value(self.read()).unwrap();
        assert_eq!(answer["id"], self.asked, "{answer}");
        answer["result"].clone()
    }

    fn read(&mut self) -> Message {
        Message::read(&mut self.output).unwrap().expect("the server ended")
    }

    /// What was found in the script, as the next message tells.
    fn found(&mut self) -> Vec<(String, Value)> {
        let Message::Notification(told) = self.read() else {
            panic!("not a notification");
        };
        assert_eq!(
            (told.method.as_str(), &told.params["uri"]),
            (PublishDiagnostics::METHOD, &FILE.into())
        );
        let found = told.params["diagnostics"].as_array().unwrap();
        found
            .iter()
            .map(|one| (one["message"].as_str().unwrap().to_owned(), one["range"].clone()))
            .collect()
    }

    fn change(&mut self, text: &str) {
        let document = json!({"uri": FILE, "version": 2});
        self.tell(
            DidChangeTextDocument::METHOD,
            json!({"textDocument": document, "contentChanges": [{"text": text}]}),
        );
    }

    fn at(line: u32, character: u32) -> Value {
        json!({"textDocument": {"uri": FILE}, "position": {"line": line, "character": character}})
    }
}

#[test]
fn an_editor_is_told_what_is_wrong_what_may_come_and_what_it_means() {
    let hoist = Hoist::new();
    let mut editor = Editor::open(&hoist, "let i = image::get(\"a\");\nprint(\"𝄞\" + i.siz)\n");
    let range = json!({"start": {"line": 1, "character": 15}, "end": {"line": 1, "character": 18}});
    let told = "an Image has no property `siz`\ndid you mean `size`?".to_owned();
    assert_eq!(editor.found(), [(told, range)]);

    let labels = |answer: Value| -> Vec<String> {
        let items = answer.as_array().unwrap();
        items
            .iter()
            .map(|item| item["label"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(labels(editor.ask(Completion::METHOD, Editor::at(1, 18))), ["size"]);
    editor.change("container::run(\"a\", \"b\", #{ mem");
    assert_eq!(editor.found().len(), 1);
    let keys = labels(editor.ask(Completion::METHOD, Editor::at(0, 31)));
    assert_eq!(keys, ["memory", "memory_reservation", "memory_swap"]);
    let help = editor.ask(SignatureHelpRequest::METHOD, Editor::at(0, 24));
    assert_eq!(
        (&help["activeParameter"], &help["activeSignature"]),
        (&json!(2), &json!(2))
    );

    editor.change("/// Greets.\nfn greet( name ){ fs::read(name) }\ngreet(\"a\")");
    assert_eq!(editor.found(), []);
    let hover = editor.ask(HoverRequest::METHOD, Editor::at(1, 24));
    assert!(
        hover["contents"]["value"]
            .as_str()
            .unwrap()
            .contains("fs::read(path: string) -> string"),
        "{hover}"
    );
    let hover = editor.ask(HoverRequest::METHOD, Editor::at(2, 0));
    assert!(
        hover["contents"]["value"].as_str().unwrap().contains("Greets."),
        "{hover}"
    );
    let symbols = editor.ask(DocumentSymbolRequest::METHOD, json!({"textDocument": {"uri": FILE}}));
    assert_eq!(
        (&symbols[0]["name"], &symbols[0]["detail"]),
        (&json!("greet"), &json!("greet(name)"))
    );
    let options = json!({"tabSize": 4, "insertSpaces": true});
    let edits = editor.ask(
        Formatting::METHOD,
        json!({"textDocument": {"uri": FILE}, "options": options}),
    );
    assert_eq!(
        edits[0]["newText"],
        "/// Greets.\nfn greet(name) { fs::read(name) }\ngreet(\"a\")\n"
    );
    assert_eq!(edits[0]["range"]["end"], json!({"line": 2, "character": 10}));

    assert_eq!(editor.ask(Shutdown::METHOD, Value::Null), Value::Null);
    editor.tell(Exit::METHOD, Value::Null);
    assert!(editor.process.wait().unwrap().success());
}
