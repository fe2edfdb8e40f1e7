"""Asks a person at a terminal for what a new site needs."""

from __future__ import annotations

from pathlib import Path

import click

from isthmus.app.product.questions import ROLES, following, wrong


def ask_role() -> str:
    """Ask which role the site is to have; a number or the role's name."""
    names = list(ROLES)
    click.echo("What is this site to be?\n", err=True)
    for number, (name, about) in enumerate(ROLES.items(), 1):
        click.echo(f"  {number}  {name:<8}  {about}", err=True)

    def role_of(answer: str) -> str:
        if answer in names:
            return answer
        if answer.isdigit() and 1 <= int(answer) <= len(names):
            return names[int(answer) - 1]
        raise click.BadParameter(f"a number from 1 to {len(names)}, or a name")

    return str(click.prompt("\nIts number or name", value_proc=role_of, err=True))


def ask(role: str, folder: Path) -> dict[str, str]:
    """Ask the questions of a role; returns the answers in the order in which they were given."""
    named = "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in folder.resolve().name) or "site"
    answers: dict[str, str] = {}
    while (question := following(role, answers, named)) is not None:
        text = question.text + (f" ({', '.join(question.choices)})" if question.choices else "")
        text += " (empty: none)" if question.optional else ""
        while True:
            default = question.default or ("" if question.optional else None)
            answer = str(click.prompt(text, default=default, show_default=bool(default), err=True)).strip()
            what = wrong(question, answer)
            if not what:
                break
            click.echo(f"  {what}", err=True)
        answers[question.name] = answer
    return answers
