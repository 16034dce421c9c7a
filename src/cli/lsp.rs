//! `hoist lsp`: what an editor wants to know of scripts, over standard input and output, by the Language Server Protocol 3.17.

use std::collections::HashMap;

use clap::Args;
use lsp_server::{Connection, ExtractError, Message, Notification, Request, Response};
use lsp_types::notification::{
    DidChangeTextDocument, DidCloseTextDocument, DidOpenTextDocument, Notification as _, PublishDiagnostics,
};
use lsp_types::request::{
    Completion, DocumentSymbolRequest, Formatting, HoverRequest, Request as _, SignatureHelpRequest,
};
use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionOptions, CompletionResponse, Diagnostic, DiagnosticSeverity,
    DiagnosticTag, DocumentSymbol, DocumentSymbolResponse, Documentation, Hover, HoverContents,
    HoverProviderCapability, MarkupContent, MarkupKind, NumberOrString, OneOf, ParameterInformation, ParameterLabel,
    Position, PublishDiagnosticsParams, Range, ServerCapabilities, SignatureHelp, SignatureHelpOptions,
    SignatureInformation, SymbolKind, TextDocumentPositionParams, TextDocumentSyncCapability, TextDocumentSyncKind,
    TextEdit, Uri,
};

use super::App;
use crate::error::{Error, Result};
use crate::script::check::{Finding, Problem, check};
use crate::script::format::format;
use crate::script::insight::{Insight, Sort};
use crate::script::outline::Outline;
use crate::script::runner::Source;
use crate::script::tokens::Lines;

/// Serve an editor: diagnostics, completion, manuals, signatures and formatting of scripts
///
/// Speaks the Language Server Protocol on standard input and output. An editor starts it by itself; nothing of a script is run.
#[derive(Args)]
pub(super) struct Lsp {
    /// Standard input and output, which is the only way; editors like to say so
    #[arg(long, hide = true)]
    stdio: bool,
}

impl Lsp {
    pub(super) fn execute(&self, _app: &App) -> Result<u8> {
        let (connection, threads) = Connection::stdio();
        let served = serve(&connection);
        // The threads end when nothing can be written any more.
        drop(connection);
        served?;
        threads
            .join()
            .map_err(|cause| Error::internal(format!("failed to talk with the editor: {cause}")))?;
        Ok(0)
    }
}

fn failed(cause: impl std::fmt::Display) -> Error {
    Error::invalid(format!("failed to talk with the editor: {cause}"))
}

fn capabilities() -> ServerCapabilities {
    ServerCapabilities {
        text_document_sync: Some(TextDocumentSyncCapability::Kind(TextDocumentSyncKind::FULL)),
        completion_provider: Some(CompletionOptions {
            trigger_characters: Some([".", ":", "{", ",", " "].map(str::to_owned).to_vec()),
            ..CompletionOptions::default()
        }),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        signature_help_provider: Some(SignatureHelpOptions {
            trigger_characters: Some(vec!["(".to_owned(), ",".to_owned()]),
            ..SignatureHelpOptions::default()
        }),
        document_formatting_provider: Some(OneOf::Left(true)),
        document_symbol_provider: Some(OneOf::Left(true)),
        ..ServerCapabilities::default()
    }
}

fn serve(connection: &Connection) -> Result<()> {
    let capabilities = serde_json::to_value(capabilities()).map_err(failed)?;
    connection.initialize(capabilities).map_err(failed)?;
    let mut open = Open {
        connection,
        texts: HashMap::new(),
    };
    for message in &connection.receiver {
        match message {
            Message::Request(request) => {
                if connection.handle_shutdown(&request).map_err(failed)? {
                    return Ok(());
                }
                open.answer(request)?;
            }
            Message::Notification(notification) => open.note(notification)?,
            Message::Response(_) => {}
        }
    }
    Ok(())
}

/// The scripts that the editor has open.
struct Open<'a> {
    connection: &'a Connection,
    texts: HashMap<Uri, String>,
}

impl Open<'_> {
    fn send(&self, message: impl Into<Message>) -> Result<()> {
        self.connection.sender.send(message.into()).map_err(failed)
    }

    fn note(&mut self, notification: Notification) -> Result<()> {
        match notification.method.as_str() {
            DidOpenTextDocument::METHOD => {
                let params = notification.extract::<lsp_types::DidOpenTextDocumentParams>(DidOpenTextDocument::METHOD);
                let document = params.map_err(failed)?.text_document;
                self.changed(document.uri, document.text)
            }
            DidChangeTextDocument::METHOD => {
                let params =
                    notification.extract::<lsp_types::DidChangeTextDocumentParams>(DidChangeTextDocument::METHOD);
                let mut params = params.map_err(failed)?;
                let Some(change) = params.content_changes.pop() else {
                    return Ok(());
                };
                self.changed(params.text_document.uri, change.text)
            }
            DidCloseTextDocument::METHOD => {
                let params =
                    notification.extract::<lsp_types::DidCloseTextDocumentParams>(DidCloseTextDocument::METHOD);
                let uri = params.map_err(failed)?.text_document.uri;
                self.texts.remove(&uri);
                self.publish(uri, Vec::new())
            }
            _ => Ok(()),
        }
    }

    fn changed(&mut self, uri: Uri, text: String) -> Result<()> {
        let source = Source::text(&path(&uri), &text);
        let found = check(&source);
        let lines = Lines::new(&source.code);
        let diagnostics = found
            .iter()
            .map(|finding| diagnostic(finding, &lines, &source.code))
            .collect();
        self.texts.insert(uri.clone(), text);
        self.publish(uri, diagnostics)
    }

    fn publish(&self, uri: Uri, diagnostics: Vec<Diagnostic>) -> Result<()> {
        let params = PublishDiagnosticsParams::new(uri, diagnostics, None);
        self.send(Notification::new(PublishDiagnostics::METHOD.to_owned(), params))
    }

    fn answer(&self, request: Request) -> Result<()> {
        let id = request.id.clone();
        let answered = match request.method.as_str() {
            Completion::METHOD => {
                self.on::<Completion>(request, |params| self.complete(&params.text_document_position))
            }
            HoverRequest::METHOD => {
                self.on::<HoverRequest>(request, |params| self.hover(&params.text_document_position_params))
            }
            SignatureHelpRequest::METHOD => {
                self.on::<SignatureHelpRequest>(request, |params| self.signature(&params.text_document_position_params))
            }
            Formatting::METHOD => self.on::<Formatting>(request, |params| self.format(&params.text_document.uri)),
            DocumentSymbolRequest::METHOD => {
                self.on::<DocumentSymbolRequest>(request, |params| self.symbols(&params.text_document.uri))
            }
            other => Err(format!("`{other}` is not served")),
        };
        self.send(
            answered
                .unwrap_or_else(|message| Response::new_err(id, lsp_server::ErrorCode::MethodNotFound as i32, message)),
        )
    }

    /// Answers a request of a kind.
    fn on<R: lsp_types::request::Request>(
        &self,
        request: Request,
        act: impl FnOnce(R::Params) -> R::Result,
    ) -> std::result::Result<Response, String> {
        let (id, params) = request.extract::<R::Params>(R::METHOD).map_err(|error| match error {
            ExtractError::MethodMismatch(request) => request.method,
            ExtractError::JsonError { error, .. } => error.to_string(),
        })?;
        Ok(Response::new_ok(id, act(params)))
    }

    /// The text of an open script, and the byte of a place in it.
    fn place(&self, place: &TextDocumentPositionParams) -> Option<(&str, usize)> {
        let text = self.texts.get(&place.text_document.uri)?;
        Some((text, byte(text, place.position)))
    }

    fn complete(&self, place: &TextDocumentPositionParams) -> Option<CompletionResponse> {
        let (text, at) = self.place(place)?;
        let items = Insight::new(text, at)
            .completions()
            .into_iter()
            .map(|completion| CompletionItem {
                label: completion.text,
                kind: Some(match completion.sort {
                    Sort::Variable => CompletionItemKind::VARIABLE,
                    Sort::Function => CompletionItemKind::FUNCTION,
                    Sort::Property => CompletionItemKind::PROPERTY,
                    Sort::Module => CompletionItemKind::MODULE,
                    Sort::Option => CompletionItemKind::FIELD,
                    Sort::Keyword => CompletionItemKind::KEYWORD,
                }),
                detail: Some(completion.detail),
                documentation: Some(Documentation::String(completion.summary)),
                ..CompletionItem::default()
            });
        Some(CompletionResponse::Array(items.collect()))
    }

    fn hover(&self, place: &TextDocumentPositionParams) -> Option<Hover> {
        let (text, at) = self.place(place)?;
        let value = Insight::new(text, at + 1)
            .hover()
            .or_else(|| Insight::new(text, at).hover())?;
        Some(Hover {
            contents: HoverContents::Markup(MarkupContent {
                kind: MarkupKind::Markdown,
                value,
            }),
            range: None,
        })
    }

    fn signature(&self, place: &TextDocumentPositionParams) -> Option<SignatureHelp> {
        let (text, at) = self.place(place)?;
        let call = Insight::new(text, at).call()?;
        let argument = u32::try_from(call.argument).unwrap_or_default();
        let fits = call
            .overloads
            .iter()
            .position(|overload| overload.1.len() > call.argument);
        let signatures = call
            .overloads
            .into_iter()
            .map(|(label, parameters, summary)| SignatureInformation {
                label,
                documentation: Some(Documentation::String(summary)),
                parameters: Some(
                    parameters
                        .into_iter()
                        .map(|name| ParameterInformation {
                            label: ParameterLabel::Simple(name),
                            documentation: None,
                        })
                        .collect(),
                ),
                active_parameter: None,
            });
        Some(SignatureHelp {
            signatures: signatures.collect(),
            active_signature: fits.and_then(|at| u32::try_from(at).ok()),
            active_parameter: Some(argument),
        })
    }

    /// The whole script in its form; nothing where it does not parse, which the diagnostics say.
    fn format(&self, uri: &Uri) -> Option<Vec<TextEdit>> {
        let text = self.texts.get(uri)?;
        let formatted = format(&path(uri), text).ok()?;
        let whole = Range::new(Position::new(0, 0), position(text, text.len()));
        Some(vec![TextEdit::new(whole, formatted)])
    }

    #[expect(deprecated, reason = "the struct has a deprecated field, which has to be set")]
    fn symbols(&self, uri: &Uri) -> Option<DocumentSymbolResponse> {
        let text = self.texts.get(uri)?;
        let outline = Outline::of(text);
        let symbols = outline.functions.iter().map(|function| {
            let range = Range::new(
                position(text, function.start),
                position(text, function.start + function.name.len()),
            );
            DocumentSymbol {
                name: function.name.to_owned(),
                detail: Some(function.signature()),
                kind: SymbolKind::FUNCTION,
                tags: None,
                deprecated: None,
                range,
                selection_range: range,
                children: None,
            }
        });
        Some(DocumentSymbolResponse::Nested(symbols.collect()))
    }
}

fn diagnostic(finding: &Finding, lines: &Lines<'_>, code: &str) -> Diagnostic {
    let start = lines.byte(finding.line, finding.column);
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    let length = code[start..]
        .find(|letter| !is_word(letter))
        .unwrap_or(code.len() - start);
    let length = length.max(code[start..].chars().next().map_or(0, char::len_utf8));
    let severity = match finding.problem.is_harmless() {
        true => DiagnosticSeverity::WARNING,
        false => DiagnosticSeverity::ERROR,
    };
    let message = match &finding.hint {
        Some(hint) => format!("{}\n{hint}", finding.message),
        None => finding.message.clone(),
    };
    Diagnostic {
        range: Range::new(position(code, start), position(code, start + length)),
        severity: Some(severity),
        code: Some(NumberOrString::String(finding.problem.name().to_owned())),
        source: Some("hoist".to_owned()),
        message,
        tags: matches!(finding.problem, Problem::Unused | Problem::Unreachable)
            .then(|| vec![DiagnosticTag::UNNECESSARY]),
        ..Diagnostic::default()
    }
}

/// The path of a file's URI, or the URI where it is none.
fn path(uri: &Uri) -> String {
    let text = uri.as_str();
    let Some(path) = text.strip_prefix("file://") else {
        return text.to_owned();
    };
    let (mut bytes, mut rest) = (Vec::new(), path.as_bytes());
    while let [first, tail @ ..] = rest {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let escaped = escaped.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The byte of a position, whose columns the protocol counts in units of UTF-16.
fn byte(text: &str, position: Position) -> usize {
    let line = text
        .split_inclusive('\n')
        .take(position.line as usize)
        .map(str::len)
        .sum();
    let mut units = 0;
    for (at, letter) in text[line..].char_indices() {
        if units >= position.character as usize || letter == '\n' {
            return line + at;
        }
        units += letter.len_utf16();
    }
    text.len()
}

/// The position of a byte.
fn position(text: &str, at: usize) -> Position {
    let before = &text[..at];
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count();
    let units = text[start..at].chars().map(char::len_utf16).sum::<usize>();
    Position::new(
        u32::try_from(line).unwrap_or(u32::MAX),
        u32::try_from(units).unwrap_or(u32::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_units_of_utf_16() {
        let text = "a\né𝄞b\n";
        for (at, line, column) in [(0, 0, 0), (2, 1, 0), (4, 1, 1), (8, 1, 3), (9, 1, 4), (10, 2, 0)] {
            assert_eq!(position(text, at), Position::new(line, column));
            assert_eq!(byte(text, Position::new(line, column)), at);
        }
        assert_eq!(byte(text, Position::new(1, 99)), 9);
        assert_eq!(byte(text, Position::new(9, 0)), text.len());
        assert_eq!(path(&"file:///tmp/a%20b.rhai".parse().unwrap()), "/tmp/a b.rhai");
    }
}
