"""A statement or a credit note as PDF: `statement_pdf(statement)`, `credit_note_pdf(note)`."""

from billing.pdf.render import credit_note_pdf, statement_pdf

__all__ = ["credit_note_pdf", "statement_pdf"]
