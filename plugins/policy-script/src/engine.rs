//! One JavaScript context with one module in it: loaded once, called for every request. Time and chance are the request's,
//! so that a decision is a pure function of what it was given; there is nothing else of the world in here.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;

use boa_engine::builtins::promise::PromiseState;
use boa_engine::context::time::{Clock, JsInstant};
use boa_engine::context::{ContextBuilder, HostHooks};
use boa_engine::module::{ModuleLoader, ModuleRequest, Referrer};
use boa_engine::object::builtins::JsPromise;
use boa_engine::{Context, JsNativeError, JsObject, JsResult, JsValue, Module, Source, js_string};
use pointsman_plugin::{Candidate, Opinion, Request, Reviewed, Verdict};
use serde_json::Value;

use crate::globals::{self, Scene};
use crate::{mistake, returned, shown};

/// A script that has been loaded.
pub(crate) struct Engine {
    context: Context,
    time: Rc<Time>,
    /// The file, for messages.
    name: String,
    decide: JsObject,
    review: Option<JsObject>,
    /// The methods that every request has.
    methods: JsObject,
}

impl Engine {
    /// Evaluates a script and has it configured; what comes back beside it are warnings.
    pub(crate) fn load(name: &str, source: &str, settings: &Value) -> Result<(Self, Vec<String>), String> {
        let time = Rc::new(Time::default());
        let context = ContextBuilder::new()
            .clock(time.clone())
            .host_hooks(Rc::new(Greenwich))
            .module_loader(Rc::new(Alone))
            .build();
        let mut context = context.map_err(|error| format!("the engine does not start: {error}"))?;
        let explain = |error, context: &mut Context| mistake::explain(name, &error, context);
        let prepared = prepare(&mut context);
        let methods = prepared.map_err(|error| explain(error, &mut context))?;
        let evaluated = evaluate(name, source, &mut context);
        let exports = evaluated.map_err(|error| explain(error, &mut context))?;
        let Some(decide) = function(&exports, "decide", name, &mut context)? else {
            return Err(format!(
                "{name}: the script exports no function `decide`: write `export function decide(request, candidates) {{ … }}`"
            ));
        };
        let engine = Engine {
            review: function(&exports, "review", name, &mut context)?,
            context,
            time,
            name: name.to_owned(),
            decide,
            methods,
        };
        let loaded = engine.configured(&exports, settings)?;
        // Calls begin with what is left, and hardly any has to collect before it ends.
        boa_engine::gc::force_collect();
        Ok(loaded)
    }

    /// Has the script's own `configure` look at its settings, where it has one.
    fn configured(mut self, exports: &JsObject, settings: &Value) -> Result<(Self, Vec<String>), String> {
        let Some(configure) = function(exports, "configure", &self.name, &mut self.context)? else {
            let is_given = settings.as_object().is_none_or(|settings| !settings.is_empty());
            let unread = format!(
                "{}: `settings` is read by nobody: the script exports no `configure`",
                self.name
            );
            return Ok((self, is_given.then_some(unread).into_iter().collect()));
        };
        let result = JsValue::from_json(settings, &mut self.context)
            .and_then(|settings| call(&configure, &[settings], &mut self.context))
            .and_then(|warnings| returned::warnings(&warnings, &mut self.context));
        let warnings = self.told("configure", result)?;
        Ok((self, warnings))
    }

    pub(crate) fn decide(&mut self, request: &Request, candidates: &[Candidate]) -> Result<Verdict, String> {
        let verdict = self.decided(request, candidates);
        self.told("decide", verdict)
    }

    fn decided(&mut self, request: &Request, candidates: &[Candidate]) -> JsResult<Verdict> {
        let request = self.begin(request)?;
        let offered = shown::candidates(candidates, &mut self.context)?;
        let value = call(&self.decide, &[request, offered], &mut self.context)?;
        returned::verdict(&value, candidates, self.review.is_some(), &mut self.context)
    }

    pub(crate) fn review(&mut self, request: &Request, answer: &Reviewed) -> Result<Opinion, String> {
        let Some(review) = self.review.clone() else {
            return Err(format!("{}: the script exports no function `review`", self.name));
        };
        let opinion = self.reviewed(&review, request, answer);
        self.told("review", opinion)
    }

    fn reviewed(&mut self, review: &JsObject, request: &Request, answer: &Reviewed) -> JsResult<Opinion> {
        let request = self.begin(request)?;
        let answer = shown::answer(answer, &mut self.context)?;
        let value = call(review, &[request, answer], &mut self.context)?;
        returned::opinion(&value, &mut self.context)
    }

    /// Sets clock and chance to the request's, and shows it.
    fn begin(&mut self, request: &Request) -> JsResult<JsValue> {
        self.time.0.set(request.now_ms);
        if let Some(scene) = self.context.get_data::<Scene>() {
            scene.begin(request);
        }
        shown::request(request, &self.methods, &mut self.context)
    }

    fn told<T>(&mut self, function: &str, result: JsResult<T>) -> Result<T, String> {
        result.map_err(|error| {
            let told = mistake::explain(&self.name, &error, &mut self.context);
            format!("{told} (in `{function}`)")
        })
    }
}

/// What is there before the script is.
fn prepare(context: &mut Context) -> JsResult<JsObject> {
    globals::register(context)?;
    Ok(shown::methods(context))
}

/// The module's exports.
fn evaluate(name: &str, source: &str, context: &mut Context) -> JsResult<JsObject> {
    // A byte order mark is no part of the script; editors on some systems put one there.
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let source = Source::from_bytes(source).with_path(Path::new(name));
    let module = Module::parse(source, None, context)?;
    let promise = module.load_link_evaluate(context);
    settled(&promise, context)?;
    Ok(module.namespace(context))
}

/// An exported function; none where nothing of that name is exported.
fn function(exports: &JsObject, export: &str, name: &str, context: &mut Context) -> Result<Option<JsObject>, String> {
    let value = exports
        .get(js_string!(export), context)
        .map_err(|error| mistake::explain(name, &error, context))?;
    match value.as_callable() {
        Some(function) => Ok(Some(function)),
        None if value.is_undefined() => Ok(None),
        None => Err(format!("{name}: the export `{export}` is no function")),
    }
}

/// Calls, and waits where a promise comes back: nothing here takes time, so that all there is to do is at hand.
fn call(function: &JsObject, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let value = function.call(&JsValue::undefined(), arguments, context)?;
    match value.as_object().map(JsPromise::from_object) {
        Some(Ok(promise)) => settled(&promise, context),
        _ => Ok(value),
    }
}

fn settled(promise: &JsPromise, context: &mut Context) -> JsResult<JsValue> {
    context.run_jobs()?;
    match promise.state() {
        PromiseState::Fulfilled(value) => Ok(value),
        PromiseState::Rejected(reason) => Err(boa_engine::JsError::from_opaque(reason)),
        PromiseState::Pending => Err(JsNativeError::error()
            .with_message("waits for a promise that nothing will ever settle")
            .into()),
    }
}

/// The clock stands still at the request's time; it is 0 while the script is loaded.
#[derive(Debug, Default)]
struct Time(Cell<u64>);

impl Clock for Time {
    fn now(&self) -> JsInstant {
        let now = self.0.get();
        JsInstant::new(now / 1000, (now % 1000) as u32 * 1_000_000)
    }

    fn system_time_millis(&self) -> i64 {
        self.0.get().try_into().unwrap_or(i64::MAX)
    }
}

/// Local time is UTC everywhere.
struct Greenwich;

impl HostHooks for Greenwich {
    fn local_timezone_offset_seconds(&self, _: i64) -> i32 {
        0
    }
}

/// A script is one file.
struct Alone;

impl ModuleLoader for Alone {
    async fn load_imported_module(
        self: Rc<Self>,
        _: Referrer,
        request: ModuleRequest,
        _: &RefCell<&mut Context>,
    ) -> JsResult<Module> {
        let wanted = request.specifier().to_std_string_lossy();
        let message = format!("cannot import `{wanted}`: a script is one file, so put what it needs into it");
        Err(JsNativeError::typ().with_message(message).into())
    }
}
