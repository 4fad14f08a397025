//! Tokens to definitions. What is wrong is reported, and the rest of the file still read.

use super::{
    Type,
    ast::{
        Definition, EnumMember, Function, Item, Literal, Member, Parameter, Path, TypeName, Value,
    },
    errors::{At, Errors},
    lexer::{Lexer, Token},
};

/// Levels of vectors and maps in a type.
const TYPE_LEVELS_MAX: usize = 16;

/// The tag of a parameter is its position, so no more have one.
const PARAMETERS_MAX: usize = 255;

const KEYWORDS: &[&str] = &[
    "void",
    "struct",
    "bool",
    "byte",
    "short",
    "int",
    "double",
    "float",
    "long",
    "string",
    "vector",
    "map",
    "key",
    "routekey",
    "module",
    "interface",
    "out",
    "require",
    "optional",
    "false",
    "true",
    "enum",
    "const",
    "unsigned",
];

/// What a file holds.
pub(super) struct Parsed<'a> {
    pub(super) definitions: Vec<Definition<'a>>,
    pub(super) includes: Vec<(At, String)>,
}

/// An error was reported; go on behind the definition.
struct Lost;

type Parse<T> = Result<T, Lost>;

/// Reads one file.
pub(super) fn parse<'a>(file: usize, text: &'a [u8], errors: &mut Errors) -> Parsed<'a> {
    let mut lexer = Lexer::new(file, text);
    let (at, token) = lexer.next(errors);
    let parsed = Parsed { definitions: Vec::new(), includes: Vec::new() };
    let mut parser = Parser { lexer, at, token, level: 0, errors, parsed };
    parser.file();
    parser.parsed
}

struct Parser<'a, 'e> {
    lexer: Lexer<'a>,
    /// Where `token` begins.
    at: At,
    token: Token<'a>,
    /// How many braces are open.
    level: usize,
    errors: &'e mut Errors,
    parsed: Parsed<'a>,
}

impl<'a> Parser<'a, '_> {
    fn next(&mut self) -> Token<'a> {
        match self.token {
            Token::Sign('{') => self.level += 1,
            Token::Sign('}') => self.level = self.level.saturating_sub(1),
            _ => {}
        }
        let (at, token) = self.lexer.next(self.errors);
        self.at = at;
        std::mem::replace(&mut self.token, token)
    }

    /// Reports that something else was expected than what is there.
    fn lost<T>(&mut self, expected: &str) -> Parse<T> {
        let message = format!("expected {expected}, found {}", self.token.describe());
        self.errors.add(self.at, message);
        Err(Lost)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.token, Token::Word(found) if found == word)
    }

    fn is_sign(&self, sign: char) -> bool {
        self.token == Token::Sign(sign)
    }

    fn skip_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.next();
        }
        found
    }

    fn skip_sign(&mut self, sign: char) -> bool {
        let found = self.is_sign(sign);
        if found {
            self.next();
        }
        found
    }

    fn sign(&mut self, sign: char, behind: &str) -> Parse<()> {
        if self.skip_sign(sign) { Ok(()) } else { self.lost(&format!("`{sign}` {behind}")) }
    }

    /// A name that is no keyword.
    fn name(&mut self, what: &str) -> Parse<&'a str> {
        match self.token {
            Token::Word(word) if !KEYWORDS.contains(&word) => {
                self.next();
                Ok(word)
            }
            _ => self.lost(what),
        }
    }

    fn file(&mut self) {
        while self.token != Token::End && !self.errors.is_full() {
            if let Token::Include(name) = &self.token {
                let include = (self.at, name.clone());
                self.parsed.includes.push(include);
                self.next();
                // Some write one behind it.
                self.skip_sign(';');
            } else if self.module().is_err() {
                self.recover_file();
            }
        }
    }

    /// Skips to the next module or include.
    fn recover_file(&mut self) {
        while !matches!(self.token, Token::End | Token::Include(_)) && !self.is_word("module") {
            self.next();
        }
    }

    fn module(&mut self) -> Parse<()> {
        if !self.skip_word("module") {
            return self.lost("`module` or `#include`");
        }
        let module = self.name("the module's name")?;
        self.sign('{', "behind the module's name")?;
        while !self.is_sign('}') {
            if self.token == Token::End {
                return self.lost("`}` at the end of the module");
            }
            if self.errors.is_full() {
                return Err(Lost);
            }
            if self.definition(module).is_err() {
                self.recover_definition();
            }
        }
        self.next();
        self.sign(';', "behind the module")
    }

    /// Skips behind the `;` that ends the definition, or to where another one begins or the
    /// module ends.
    fn recover_definition(&mut self) {
        while self.token != Token::End {
            let begins = matches!(
                self.token,
                Token::Word("struct" | "enum" | "interface" | "const") | Token::Sign('}')
            );
            if self.level <= 1 && begins {
                return;
            }
            if self.next() == Token::Sign(';') && self.level <= 1 {
                return;
            }
        }
    }

    fn definition(&mut self, module: &'a str) -> Parse<()> {
        let Token::Word(word) = self.token else {
            return self.lost("struct, enum, const, interface or key");
        };
        let start = self.at;
        match word {
            "struct" | "enum" | "interface" | "const" | "key" => self.next(),
            "module" => return self.lost("no module within a module"),
            _ => return self.lost("struct, enum, const, interface or key"),
        };
        let (at, name, item) = match word {
            "struct" => self.braced("the struct's name", Self::members, Item::Struct)?,
            "enum" => self.braced("the enum's name", Self::enum_members, Item::Enum)?,
            "interface" => self.braced("the interface's name", Self::functions, Item::Interface)?,
            "const" => self.constant()?,
            _ => self.key(start)?,
        };
        self.parsed.definitions.push(Definition { module, name, at, item });
        if self.skip_sign(';') {
            return Ok(());
        }
        // What follows is whole again: nothing to skip.
        let _: Parse<()> = self.lost("`;` behind the definition");
        Ok(())
    }

    /// A name, and between braces what `inner` reads.
    fn braced<T>(
        &mut self,
        what: &str,
        inner: fn(&mut Self) -> Parse<Vec<T>>,
        item: fn(Vec<T>) -> Item<'a>,
    ) -> Parse<(At, &'a str, Item<'a>)> {
        let at = self.at;
        let name = self.name(what)?;
        self.sign('{', "behind the name")?;
        let inner = inner(self)?;
        self.sign('}', "at the end")?;
        Ok((at, name, item(inner)))
    }

    fn members(&mut self) -> Parse<Vec<Member<'a>>> {
        if self.is_sign('}') {
            return self.lost("at least one member");
        }
        let mut members = Vec::new();
        while !self.is_sign('}') {
            match self.member() {
                Ok(member) => members.push(member),
                Err(Lost) => self.recover_line()?,
            }
        }
        Ok(members)
    }

    /// Skips behind the next `;` within the braces.
    fn recover_line(&mut self) -> Parse<()> {
        loop {
            if self.errors.is_full() {
                return Err(Lost);
            }
            match self.token {
                Token::Sign(';') => {
                    self.next();
                    return Ok(());
                }
                Token::Sign('}') => return Ok(()),
                Token::Sign('{') | Token::End => return Err(Lost),
                _ => self.next(),
            };
        }
    }

    fn member(&mut self) -> Parse<Member<'a>> {
        let tag = match self.token {
            Token::Integer(tag) => match u8::try_from(tag) {
                Ok(tag) => tag,
                Err(_) => return self.lost("a tag from 0 to 255"),
            },
            _ => return self.lost("the member's tag or `}`"),
        };
        self.next();
        let required = match self.token {
            Token::Word("require") => true,
            Token::Word("optional") => false,
            _ => return self.lost("require or optional"),
        };
        self.next();
        let of = self.type_name(0)?;
        let of = self.array_before(of)?;
        let at = self.at;
        let name = self.name("the member's name")?;
        let of = self.array_behind(of)?;
        let default = if self.skip_sign('=') { Some(self.literal()?) } else { None };
        self.sign(';', "behind the member")?;
        Ok(Member { at, tag, required, of, name, default })
    }

    /// The forms `T : N name` and `T * name`, which are vectors on the wire.
    fn array_before(&mut self, of: TypeName<'a>) -> Parse<TypeName<'a>> {
        if self.skip_sign('*') {
            return Ok(vector(of));
        }
        if self.skip_sign(':') {
            self.size()?;
            return Ok(vector(of));
        }
        Ok(of)
    }

    /// The form `T name[N]`.
    fn array_behind(&mut self, of: TypeName<'a>) -> Parse<TypeName<'a>> {
        if !self.skip_sign('[') {
            return Ok(of);
        }
        self.size()?;
        self.sign(']', "behind the size")?;
        Ok(vector(of))
    }

    fn size(&mut self) -> Parse<()> {
        match self.token {
            Token::Integer(1..1_000_000) => {
                self.next();
                Ok(())
            }
            _ => self.lost("a size below 1000000"),
        }
    }

    fn enum_members(&mut self) -> Parse<Vec<EnumMember<'a>>> {
        let mut members = Vec::new();
        loop {
            if self.is_sign('}') && !members.is_empty() {
                return Ok(members);
            }
            let at = self.at;
            let name = self.name("the name of a member")?;
            let value = if self.skip_sign('=') { Some(self.literal()?) } else { None };
            members.push(EnumMember { at, name, value });
            if !self.skip_sign(',') && !self.is_sign('}') {
                return self.lost("`,` or `}`");
            }
        }
    }

    fn constant(&mut self) -> Parse<(At, &'a str, Item<'a>)> {
        let of = self.type_name(0)?;
        let at = self.at;
        let name = self.name("the constant's name")?;
        self.sign('=', "behind the constant's name")?;
        let value = self.literal()?;
        Ok((at, name, Item::Const(of, value)))
    }

    fn key(&mut self, start: At) -> Parse<(At, &'a str, Item<'a>)> {
        self.sign('[', "behind key")?;
        let name = self.name("the struct's name")?;
        let mut members = Vec::new();
        while self.skip_sign(',') {
            members.push((self.at, self.name("the name of a member")?));
        }
        self.sign(']', "at the end of the key")?;
        Ok((start, name, Item::Key(members)))
    }

    fn functions(&mut self) -> Parse<Vec<Function<'a>>> {
        let mut functions = Vec::new();
        while !self.is_sign('}') {
            match self.function() {
                Ok(function) => functions.push(function),
                Err(Lost) => self.recover_line()?,
            }
        }
        Ok(functions)
    }

    fn function(&mut self) -> Parse<Function<'a>> {
        let returns = if self.skip_word("void") { None } else { Some(self.type_name(0)?) };
        let at = self.at;
        let name = self.name("the function's name")?;
        self.sign('(', "behind the function's name")?;
        let mut parameters = Vec::new();
        while !self.is_sign(')') {
            if parameters.len() == PARAMETERS_MAX {
                return self.lost("no more than 255 parameters");
            }
            parameters.push(self.parameter()?);
            if !self.skip_sign(',') && !self.is_sign(')') {
                return self.lost("`,` or `)` behind the parameter");
            }
        }
        self.next();
        self.sign(';', "behind the function")?;
        Ok(Function { at, name, returns, parameters })
    }

    fn parameter(&mut self) -> Parse<Parameter<'a>> {
        let out = self.skip_word("out");
        if !out {
            self.skip_word("routekey");
        }
        let of = self.type_name(0)?;
        let of = self.array_before(of)?;
        let at = self.at;
        let name = self.name("the parameter's name")?;
        Ok(Parameter { at, out, of, name })
    }

    fn type_name(&mut self, level: usize) -> Parse<TypeName<'a>> {
        if level > TYPE_LEVELS_MAX {
            return self.lost(&format!("no more than {TYPE_LEVELS_MAX} levels in a type"));
        }
        let Token::Word(word) = self.token else { return self.lost("a type") };
        let plain = match word {
            "bool" => Type::Bool,
            "byte" => Type::Byte,
            "short" => Type::Short,
            "int" => Type::Int,
            "long" => Type::Long,
            "float" => Type::Float,
            "double" => Type::Double,
            "string" => Type::String,
            "unsigned" => {
                self.next();
                match self.token {
                    Token::Word("byte") => Type::UnsignedByte,
                    Token::Word("short") => Type::UnsignedShort,
                    Token::Word("int") => Type::UnsignedInt,
                    _ => return self.lost("byte, short or int behind unsigned"),
                }
            }
            "vector" => {
                self.next();
                self.sign('<', "behind vector")?;
                let of = self.type_name(level + 1)?;
                self.sign('>', "at the end of the vector's type")?;
                return Ok(vector(of));
            }
            "map" => {
                self.next();
                self.sign('<', "behind map")?;
                let key = self.type_name(level + 1)?;
                self.sign(',', "behind the type of the map's keys")?;
                let value = self.type_name(level + 1)?;
                self.sign('>', "at the end of the map's type")?;
                return Ok(TypeName::Map(Box::new((key, value))));
            }
            _ => return self.path("a type").map(TypeName::Named),
        };
        self.next();
        Ok(TypeName::Plain(plain))
    }

    /// `name` or `scope::name`.
    fn path(&mut self, what: &str) -> Parse<Path<'a>> {
        let at = self.at;
        // Definitions of the file's outermost scope.
        if self.token == Token::Scope {
            self.next();
        }
        let first = self.name(what)?;
        if self.token != Token::Scope {
            return Ok(Path { at, scope: None, name: first });
        }
        self.next();
        let name = self.name("a name behind `::`")?;
        Ok(Path { at, scope: Some(first), name })
    }

    fn literal(&mut self) -> Parse<Literal<'a>> {
        let at = self.at;
        let value = match &mut self.token {
            Token::Integer(number) => Value::Integer(*number),
            Token::Float(number) => Value::Float(*number),
            Token::Text(text) => Value::Text(std::mem::take(text).into()),
            Token::Word("true") => Value::Bool(true),
            Token::Word("false") => Value::Bool(false),
            _ => {
                let path = self.path("a value")?;
                return Ok(Literal { at, value: Value::Name(path) });
            }
        };
        self.next();
        Ok(Literal { at, value })
    }
}

/// A vector, which has a type of its own if it is one of bytes.
fn vector(of: TypeName<'_>) -> TypeName<'_> {
    match of {
        TypeName::Plain(Type::Byte) => TypeName::Plain(Type::Bytes),
        of => TypeName::Vector(Box::new(of)),
    }
}
