//! The teacher behind kept outputs.

use std::cell::RefCell;
use std::rc::Rc;

use crate::DistillError;

/// How a teacher is made again.
pub(super) type Load<Te> = Box<dyn Fn() -> Result<Te, DistillError>>;

/// A teacher that may be let go, and is made again where it is asked all the same. After that it stays: what has to
/// be asked once will be asked again.
pub(super) struct Source<Te>(RefCell<State<Te>>);

enum State<Te> {
    Here { teacher: Rc<Te>, load: Option<Load<Te>> },
    LetGo(Load<Te>),
}

impl<Te> Source<Te> {
    pub(super) fn new(teacher: Te) -> Self {
        Self(RefCell::new(State::Here { teacher: Rc::new(teacher), load: None }))
    }

    /// Lets the teacher go when it [rests](Self::rest).
    pub(super) fn with_load(self, again: Load<Te>) -> Self {
        if let State::Here { load, .. } = &mut *self.0.borrow_mut() {
            *load = Some(again);
        }
        self
    }

    /// The teacher, made again where it was let go.
    pub(super) fn get(&self) -> Result<Rc<Te>, DistillError> {
        let mut state = self.0.borrow_mut();
        let teacher = match &*state {
            State::Here { teacher, .. } => return Ok(Rc::clone(teacher)),
            State::LetGo(load) => Rc::new(load()?),
        };
        log::info!("a teacher whose outputs were all kept is asked once more, and loaded again");
        *state = State::Here { teacher: Rc::clone(&teacher), load: None };
        Ok(teacher)
    }

    /// Lets the teacher go, if it can be made again.
    pub(super) fn rest(&self) {
        let mut state = self.0.borrow_mut();
        if let State::Here { load, .. } = &mut *state
            && let Some(load) = load.take()
        {
            *state = State::LetGo(load);
        }
    }
}
