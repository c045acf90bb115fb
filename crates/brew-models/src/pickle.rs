//! The pickle inside a PyTorch checkpoint, read as data and never run.
//!
//! burn-store reads these files too, but ignores strides and fills what a storage lacks with
//! zeros, without a word. This is a second, strict reader of the same stream: it accepts only what
//! the state dict of a model consists of, and finds out which bytes each tensor claims, so that
//! the file can be refused before a wrong number gets into a model.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Nesting deeper than this is no state dict; readers that recurse would overflow their stack.
const DEEPEST: u32 = 64;

/// Values handled in all. References can make a pickle of a few bytes stand for more values than
/// fit in memory.
const MOST_WORK: u64 = 1 << 26;

/// Values on the stack, or remembered, at once: a state dict has a few for each tensor.
const MOST_VALUES: usize = 1 << 20;

/// A file's stretch of numbers that tensors are views of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Storage {
    /// Name of the archive entry below `data/`.
    pub(crate) key: String,
    /// `FloatStorage`, `HalfStorage`, ….
    pub(crate) kind: String,
    /// Numbers in it.
    pub(crate) elements: u64,
    /// Bytes of each.
    pub(crate) element_size: u64,
}

/// A tensor as the pickle describes it; its numbers are contiguous and inside its storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredTensor {
    pub(crate) storage: Storage,
    pub(crate) shape: Vec<usize>,
}

/// The tensors of a pickled state dict by name.
///
/// # Errors
/// A sentence on what is wrong: truncation, a value no state dict has, a call of anything but the
/// tensor constructors, a view that is not contiguous or leaves its storage.
pub(crate) fn read_state_dict(bytes: &[u8]) -> Result<BTreeMap<String, StoredTensor>, String> {
    let mut machine = Machine { bytes, at: 0, stack: Vec::new(), memo: BTreeMap::new(), work: 0 };
    let Value::Dict(dict) = machine.run()? else {
        return Err("it holds something other than a dictionary of tensors".to_owned());
    };
    let entries = dict.entries.take();
    if entries.is_empty() {
        return Err("it holds no tensors by name at its top, as a state dict does".to_owned());
    }
    Ok(entries)
}

#[derive(Debug, Clone, Copy)]
struct Cost {
    depth: u32,
    weight: u64,
}

const LEAF: Cost = Cost { depth: 0, weight: 1 };

#[derive(Debug)]
struct Dict {
    cost: Cell<Cost>,
    entries: RefCell<BTreeMap<String, StoredTensor>>,
}

#[derive(Debug, Clone)]
enum Value {
    Mark,
    /// `None`, booleans, floats: nothing of a tensor depends on them.
    Plain,
    Int(i64),
    Text(Rc<str>),
    /// `module.name`.
    Global(Rc<str>),
    Tuple(Rc<[Value]>, Cost),
    /// The items do not matter.
    List(Rc<Cell<Cost>>),
    /// The items that are tensors under a name.
    Dict(Rc<Dict>),
    Storage(Rc<Storage>),
    Tensor(Rc<StoredTensor>),
}

impl Value {
    fn cost(&self) -> Cost {
        match self {
            Self::Tuple(_, cost) => *cost,
            Self::List(cost) => cost.get(),
            Self::Dict(dict) => dict.cost.get(),
            _ => LEAF,
        }
    }
}

/// The cost of a container once it holds `items` as well.
fn grown(container: Cost, items: &[Value]) -> Result<Cost, String> {
    let mut cost = container;
    for item in items.iter().map(Value::cost) {
        cost.depth = cost.depth.max(item.depth + 1);
        cost.weight = cost.weight.saturating_add(item.weight);
    }
    if cost.depth > DEEPEST {
        return Err(format!("its values are nested more than {DEEPEST} deep"));
    }
    Ok(cost)
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    memo: BTreeMap<u32, Value>,
    work: u64,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Value, String> {
        loop {
            let opcode = self.take(1)?[0];
            match opcode {
                b'.' => return self.pop(),
                0x80 => drop(self.take(1)?),
                0x95 => drop(self.take(8)?),
                b'(' => self.push(Value::Mark)?,
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_to_mark()?),
                b'N' | 0x88 | 0x89 => self.push(Value::Plain)?,
                b'G' => {
                    self.take(8)?;
                    self.push(Value::Plain)?;
                }
                b'K' | b'M' | b'J' | 0x8a => {
                    let number = self.integer(opcode)?;
                    self.push(Value::Int(number))?;
                }
                b'X' | 0x8c => {
                    let len = if opcode == b'X' { self.unsigned(4)? } else { self.unsigned(1)? };
                    let text = std::str::from_utf8(self.take(len)?).map_err(|_| "a name is not UTF-8")?;
                    self.push(Value::Text(text.into()))?;
                }
                b'c' => {
                    let global = format!("{}.{}", self.line()?, self.line()?);
                    self.push(Value::Global(global.into()))?;
                }
                0x93 => {
                    let (name, module) = (self.text()?, self.text()?);
                    self.push(Value::Global(format!("{module}.{name}").into()))?;
                }
                b')' => self.push_tuple(Vec::new())?,
                0x85..=0x87 => {
                    let items = self.pop_many(usize::from(opcode - 0x84))?;
                    self.push_tuple(items)?;
                }
                b't' => {
                    let items = self.pop_to_mark()?;
                    self.push_tuple(items)?;
                }
                b']' => self.push(Value::List(Rc::new(Cell::new(LEAF))))?,
                b'l' => {
                    let items = self.pop_to_mark()?;
                    self.push(Value::List(Rc::new(Cell::new(grown(LEAF, &items)?))))?;
                }
                b'a' | b'e' => {
                    let items = if opcode == b'a' { vec![self.pop()?] } else { self.pop_to_mark()? };
                    let Some(Value::List(cost)) = self.stack.last() else {
                        return Err("it appends to something that is not a list".to_owned());
                    };
                    cost.set(grown(cost.get(), &items)?);
                }
                b'}' => self.push_dict()?,
                b'd' => {
                    let items = self.pop_to_mark()?;
                    self.push_dict()?;
                    self.set_items(items)?;
                }
                b's' | b'u' => {
                    let items = if opcode == b's' { self.pop_many(2)? } else { self.pop_to_mark()? };
                    self.set_items(items)?;
                }
                b'q' | b'r' | 0x94 => {
                    let index = match opcode {
                        b'q' => self.unsigned(1)?,
                        b'r' => self.unsigned(4)?,
                        _ => self.memo.len(),
                    };
                    let value = self.stack.last().ok_or("it remembers a value that is not there")?.clone();
                    self.spend(value.cost().weight)?;
                    self.memo.insert(index as u32, value);
                    Self::bound(self.memo.len())?;
                }
                b'h' | b'j' => {
                    let index = self.unsigned(if opcode == b'h' { 1 } else { 4 })? as u32;
                    let value = self.memo.get(&index).ok_or("it recalls a value that was never there")?;
                    self.push(value.clone())?;
                }
                b'Q' => {
                    let storage = storage_of(&self.pop()?)?;
                    self.push(Value::Storage(Rc::new(storage)))?;
                }
                b'R' => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    self.call(&function, &arguments)?;
                }
                // The state of an object: of the objects that can be here, only the versions of
                // PyTorch's modules, beside the dictionary.
                b'b' => drop(self.pop()?),
                other => {
                    return Err(format!("it uses the instruction 0x{other:02x}, which no state dict needs"));
                }
            }
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or("it ends in the middle")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn unsigned(&mut self, len: usize) -> Result<usize, String> {
        let mut word = [0; 8];
        word[..len].copy_from_slice(self.take(len)?);
        usize::try_from(u64::from_le_bytes(word)).map_err(|_| "a length is beyond reason".to_owned())
    }

    fn integer(&mut self, opcode: u8) -> Result<i64, String> {
        let len = match opcode {
            b'K' => 1,
            b'M' => 2,
            b'J' => 4,
            _ => self.unsigned(1)?,
        };
        if len > 8 {
            return Err("a number is longer than 64 bits".to_owned());
        }
        let bytes = self.take(len)?;
        let signed = matches!(opcode, b'J' | 0x8a);
        let fill = if signed && bytes.last().is_some_and(|&top| top >= 0x80) { 0xff } else { 0 };
        let mut word = [fill; 8];
        word[..len].copy_from_slice(bytes);
        Ok(i64::from_le_bytes(word))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|&b| b == b'\n').ok_or("it ends in the middle")?;
        let line = self.take(len + 1)?;
        std::str::from_utf8(&line[..len]).map_err(|_| "a name is not UTF-8".to_owned())
    }

    fn spend(&mut self, weight: u64) -> Result<(), String> {
        self.work = self.work.saturating_add(weight);
        if self.work > MOST_WORK {
            return Err("it stands for more values than any state dict has".to_owned());
        }
        Ok(())
    }

    fn bound(values: usize) -> Result<(), String> {
        match values > MOST_VALUES {
            true => Err("it holds more values at once than any state dict has".to_owned()),
            false => Ok(()),
        }
    }

    fn push(&mut self, value: Value) -> Result<(), String> {
        self.spend(value.cost().weight)?;
        self.stack.push(value);
        Self::bound(self.stack.len())
    }

    fn push_tuple(&mut self, items: Vec<Value>) -> Result<(), String> {
        let cost = grown(LEAF, &items)?;
        self.push(Value::Tuple(items.into(), cost))
    }

    fn push_dict(&mut self) -> Result<(), String> {
        let dict = Dict { cost: Cell::new(LEAF), entries: RefCell::default() };
        self.push(Value::Dict(Rc::new(dict)))
    }

    fn pop(&mut self) -> Result<Value, String> {
        match self.stack.pop() {
            Some(Value::Mark) | None => Err("it uses a value that is not there".to_owned()),
            Some(value) => Ok(value),
        }
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, String> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        Ok(items)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.stack.iter().rposition(|value| matches!(value, Value::Mark));
        let mark = mark.ok_or("it closes a group that was never opened")?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn text(&mut self) -> Result<Rc<str>, String> {
        match self.pop()? {
            Value::Text(text) => Ok(text),
            other => Err(format!("a name is {}", describe(&other))),
        }
    }

    fn set_items(&mut self, items: Vec<Value>) -> Result<(), String> {
        let Some(Value::Dict(dict)) = self.stack.last() else {
            return Err("it puts items into something that is not a dictionary".to_owned());
        };
        dict.cost.set(grown(dict.cost.get(), &items)?);
        for pair in items.chunks(2) {
            if let [Value::Text(name), Value::Tensor(tensor)] = pair {
                dict.entries.borrow_mut().insert(name.to_string(), StoredTensor::clone(tensor));
            }
        }
        Ok(())
    }

    fn call(&mut self, function: &Value, arguments: &Value) -> Result<(), String> {
        let (Value::Global(name), Value::Tuple(arguments, _)) = (function, arguments) else {
            return Err(format!("it calls {}", describe(function)));
        };
        match (&**name, &**arguments) {
            ("collections.OrderedDict", []) => self.push_dict(),
            ("torch._utils._rebuild_tensor_v2", [Value::Storage(storage), offset, shape, strides, ..]) => {
                let tensor = tensor_of(storage, offset, shape, strides)?;
                self.push(Value::Tensor(Rc::new(tensor)))
            }
            ("torch._utils._rebuild_parameter", [tensor @ Value::Tensor(_), ..]) => self.push(tensor.clone()),
            _ => Err(format!(
                "it asks to run {name}, which the weights of a model do not need and which is not run here"
            )),
        }
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Mark | Value::Plain | Value::Int(_) => "a plain value",
        Value::Text(_) => "a text",
        Value::Global(_) => "a class",
        Value::Tuple(..) | Value::List(_) => "a list",
        Value::Dict(_) => "a dictionary",
        Value::Storage(_) => "a storage",
        Value::Tensor(_) => "a tensor",
    }
}

/// `("storage", torch.FloatStorage, key, device, elements)`.
fn storage_of(id: &Value) -> Result<Storage, String> {
    let wrong = || "a storage is not described as PyTorch does".to_owned();
    let Value::Tuple(parts, _) = id else { return Err(wrong()) };
    let [Value::Text(tag), Value::Global(kind), Value::Text(key), _, Value::Int(elements), ..] = &**parts
    else {
        return Err(wrong());
    };
    let kind = kind.strip_prefix("torch.").ok_or_else(wrong)?;
    let element_size = match kind {
        "DoubleStorage" | "LongStorage" => 8,
        "FloatStorage" | "IntStorage" => 4,
        "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
        "CharStorage" | "ByteStorage" | "BoolStorage" => 1,
        _ => return Err(format!("a storage is a torch.{kind}, which is not read")),
    };
    if &**tag != "storage" {
        return Err(wrong());
    }
    let elements = u64::try_from(*elements).map_err(|_| wrong())?;
    Ok(Storage { key: key.to_string(), kind: kind.to_owned(), elements, element_size })
}

fn tensor_of(
    storage: &Storage,
    offset: &Value,
    shape: &Value,
    strides: &Value,
) -> Result<StoredTensor, String> {
    let place = format!("a tensor in storage {}", storage.key);
    let wrong = || format!("{place} is not described as PyTorch does");
    let numbers = |value: &Value| -> Option<Vec<u64>> {
        let Value::Tuple(items, _) = value else { return None };
        let number = |item: &Value| if let Value::Int(n) = item { u64::try_from(*n).ok() } else { None };
        items.iter().map(number).collect()
    };
    let Value::Int(offset) = offset else { return Err(wrong()) };
    let offset = u64::try_from(*offset).map_err(|_| wrong())?;
    let (Some(shape), Some(strides)) = (numbers(shape), numbers(strides)) else { return Err(wrong()) };
    if shape.len() != strides.len() {
        return Err(wrong());
    }
    let mut elements = 1_u64;
    let mut contiguous = true;
    for (&size, &stride) in shape.iter().zip(&strides).rev() {
        contiguous &= size == 1 || stride == elements;
        elements = elements.checked_mul(size).ok_or_else(wrong)?;
    }
    if !contiguous && elements > 0 {
        return Err(format!("{place} is a transposed or strided view; save the model's tensors contiguous"));
    }
    if elements.checked_add(offset).is_none_or(|end| end > storage.elements) {
        return Err(format!("{place} reaches beyond its {} numbers", storage.elements));
    }
    let shape = shape.into_iter().map(|size| usize::try_from(size).map_err(|_| wrong()));
    Ok(StoredTensor { storage: storage.clone(), shape: shape.collect::<Result<_, _>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::{self, Pickle};

    fn error(build: impl FnOnce(&mut Pickle)) -> String {
        let mut pickle = Pickle::default();
        build(&mut pickle);
        read_state_dict(&pickle.0).unwrap_err()
    }

    #[test]
    fn a_state_dict_is_read_with_shapes_and_storages() {
        let weights = tiny::weights();
        let tensors = read_state_dict(&tiny::torch_entries(&weights)[0].1).unwrap();
        assert!(tensors.keys().eq(weights.keys()));
        for (name, tensor) in &tensors {
            assert_eq!(tensor.shape, weights[name].shape.to_vec(), "{name}");
            assert_eq!(tensor.storage.kind, "FloatStorage");
            assert_eq!(tensor.storage.elements as usize, weights[name].num_elements());
        }
    }

    #[test]
    fn a_pickle_cut_at_any_byte_is_an_error() {
        let bytes = &tiny::torch_entries(&tiny::weights())[0].1;
        for len in 0..bytes.len() {
            assert!(read_state_dict(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn flipped_bytes_never_panic() {
        let bytes = &tiny::torch_entries(&tiny::weights())[0].1;
        let mut refused = 0;
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut broken = bytes.clone();
                broken[at] ^= flip;
                refused += usize::from(read_state_dict(&broken).is_err());
            }
        }
        assert!(refused > bytes.len(), "{refused}");
    }

    #[test]
    fn nothing_is_ever_run() {
        let error = error(|pickle| {
            pickle.raw(b"\x80\x02cos\nsystem\n(").text("rm -rf /").raw(b"tR.");
        });
        assert!(error.contains("os.system"), "{error}");
        for call in [&b"\x80\x02(ios\nsystem\n."[..], b"\x80\x02cos\nsystem\n)\x81."] {
            assert!(read_state_dict(call).unwrap_err().contains("instruction"));
        }
    }

    #[test]
    fn views_that_cannot_be_read_as_they_stand_are_errors() {
        for (offset, shape, strides, part) in [
            (0, [4, 3], [1, 4], "transposed"),
            (1, [4, 3], [3, 1], "reaches beyond"),
            (0, [4, 4], [4, 1], "reaches beyond"),
        ] {
            let error = error(|pickle| {
                pickle.raw(b"}").text("w").tensor(0, 12, offset, &shape, &strides).raw(b"s.");
            });
            assert!(error.contains(part), "{error}");
        }
        // The stride of an axis of length one does not matter.
        let mut pickle = Pickle::default();
        pickle.raw(b"}").text("w").tensor(0, 12, 9, &[1, 3], &[77, 1]).raw(b"s.");
        assert_eq!(read_state_dict(&pickle.0).unwrap()["w"].shape, [1, 3]);
    }

    #[test]
    fn nesting_and_repetition_are_bounded() {
        let deep = error(|pickle| {
            pickle.raw(b")").raw(&[0x85; 100_000]).raw(b".");
        });
        assert!(deep.contains("nested"), "{deep}");
        // Thirty doublings stand for a thousand million values.
        let wide = error(|pickle| {
            pickle.raw(b")");
            for _ in 0..30 {
                pickle.raw(b"q\x00h\x00\x86");
            }
            pickle.raw(b".");
        });
        assert!(wide.contains("more values"), "{wide}");
        let itself = error(|pickle| {
            pickle.raw(b"]q\x00");
            for _ in 0..1000 {
                pickle.raw(b"h\x00a");
            }
            pickle.raw(b".");
        });
        assert!(itself.contains("nested") || itself.contains("more values"), "{itself}");
    }

    #[test]
    fn values_on_the_stack_and_remembered_ones_are_bounded() {
        for stream in [vec![b'N'; MOST_VALUES + 2], [&b"N"[..], &vec![0x94; MOST_VALUES + 2]].concat()] {
            let error = read_state_dict(&stream).unwrap_err();
            assert!(error.contains("at once"), "{error}");
        }
    }

    #[test]
    fn what_is_no_dictionary_of_tensors_is_an_error() {
        assert!(
            error(|pickle| {
                pickle.int(3).raw(b".");
            })
            .contains("other than a dictionary")
        );
        assert!(
            error(|pickle| {
                pickle.raw(b"}.");
            })
            .contains("no tensors")
        );
        assert!(
            error(|pickle| {
                pickle.raw(b"t");
            })
            .contains("never opened")
        );
        assert!(
            error(|pickle| {
                pickle.raw(b"h\x05");
            })
            .contains("never there")
        );
        assert!(
            error(|pickle| {
                pickle.raw(b"X\xff\xff\xff\xff");
            })
            .contains("ends in the middle")
        );
    }
}
