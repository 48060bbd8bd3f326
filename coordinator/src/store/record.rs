//! How a row of the core becomes a row of a table and back: one column after the other, in the order of its list.

use rusqlite::Statement;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

/// What fits one column.
pub(super) trait Scalar: Sized {
    fn to_column(&self) -> ToSqlOutput<'_>;
    /// `None` when the column holds something that this type cannot be.
    fn from_column(value: ValueRef<'_>) -> Option<Self>;
}

impl<T: Scalar> Scalar for Option<T> {
    fn to_column(&self) -> ToSqlOutput<'_> {
        self.as_ref().map_or(ToSqlOutput::Owned(Value::Null), Scalar::to_column)
    }

    fn from_column(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Null => Some(None),
            value => T::from_column(value).map(Some),
        }
    }
}

/// One field of a row: a scalar, or what takes several columns.
pub(super) trait Field: Sized {
    fn put(&self, columns: &mut Put<'_, '_>) -> rusqlite::Result<()>;
    fn take(columns: &mut Take<'_, '_>) -> Option<Self>;
}

impl<T: Scalar> Field for T {
    fn put(&self, columns: &mut Put<'_, '_>) -> rusqlite::Result<()> {
        columns.next += 1;
        columns.statement.raw_bind_parameter(columns.next, self.to_column())
    }

    fn take(columns: &mut Take<'_, '_>) -> Option<Self> {
        let value = columns.row.get_ref(columns.next).ok()?;
        columns.next += 1;
        T::from_column(value)
    }
}

/// The parameters of a statement, filled in from the left.
pub(super) struct Put<'s, 'c> {
    statement: &'s mut Statement<'c>,
    next: usize,
}

impl<'s, 'c> Put<'s, 'c> {
    pub(super) fn new(statement: &'s mut Statement<'c>) -> Self {
        Self { statement, next: 0 }
    }

    pub(super) fn put(&mut self, field: &impl Field) -> rusqlite::Result<&mut Self> {
        field.put(self)?;
        Ok(self)
    }
}

/// The columns of a row, read from the left.
pub(super) struct Take<'r, 's> {
    row: &'r rusqlite::Row<'s>,
    next: usize,
}

impl<'r, 's> Take<'r, 's> {
    pub(super) fn new(row: &'r rusqlite::Row<'s>) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn take<F: Field>(&mut self) -> Option<F> {
        F::take(self)
    }

    /// Names the column at which reading stopped, for the operator.
    pub(super) fn stopped_at(&self, table: &str) -> String {
        let key = match self.row.get_ref(0) {
            Ok(ValueRef::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            Ok(ValueRef::Integer(number)) => number.to_string(),
            _ => "?".to_owned(),
        };
        let column = self.row.as_ref().column_name(self.next.saturating_sub(1)).unwrap_or("?");
        format!("table {table}, row {key}: column {column} holds what it cannot")
    }
}

/// A kind of row and the table it is kept in; the first column is the key.
pub(super) trait Record: Sized {
    const TABLE: &'static str;
    /// On a table without other indexes REPLACE writes the row in place, at the price of one search.
    const UPSERT: &'static str;
    const SELECT: &'static str;
    const DELETE: &'static str;

    fn put(&self, columns: &mut Put<'_, '_>) -> rusqlite::Result<()>;
    fn take(columns: &mut Take<'_, '_>) -> Option<Self>;
}

/// Writes the SQL of a table from the list of its columns.
macro_rules! sql {
    ($table:literal, $key:literal $(, $column:literal)*) => {
        const TABLE: &'static str = $table;
        const UPSERT: &'static str = concat!(
            "INSERT OR REPLACE INTO ", $table, " (", $key, $(", ", $column,)* ") VALUES (?", $(parameter!($column),)* ")"
        );
        const SELECT: &'static str = concat!("SELECT ", $key, $(", ", $column,)* " FROM ", $table);
        const DELETE: &'static str = concat!("DELETE FROM ", $table, " WHERE ", $key, " = ?");
    };
}

macro_rules! parameter {
    ($column:literal) => {
        ", ?"
    };
}

/// Ties every field of a row to its columns. A field that is not listed does not compile.
macro_rules! record {
    ($record:ident = $table:literal { $key:ident: $key_column:literal, $($field:ident: $($column:literal)+,)* }) => {
        impl Record for $record {
            sql!($table, $key_column $($(, $column)+)*);

            fn put(&self, columns: &mut Put<'_, '_>) -> rusqlite::Result<()> {
                columns.put(&self.$key)?$(.put(&self.$field)?)*;
                Ok(())
            }

            fn take(columns: &mut Take<'_, '_>) -> Option<Self> {
                Some(Self { $key: columns.take()?, $($field: columns.take()?,)* })
            }
        }
    };
}

pub(super) use {parameter, record, sql};
