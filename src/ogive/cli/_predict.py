"""``ogive predict``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import ogive
from ogive.cli._print import print_json

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def predict(
    bundle: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder (RUN/bundle).")
    ],
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES", help="Images or folders of them; or tables, a line a row."
        ),
    ],
    proba: Annotated[
        bool, typer.Option("--proba", help="Print the probability of each class too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of JSON objects.")] = False,
) -> None:
    """Predict labels or values for FILES with a bundle."""
    loaded = ogive.load_bundle(bundle)
    rows = []
    for file in files:
        outputs = loaded.predict_proba(file)
        for name, output in zip(loaded.names(file, len(outputs)), outputs, strict=True):
            answer = loaded.labels[output.argmax()] if loaded.labels else float(output[0])
            row: dict[str, object] = {"input": name, "prediction": answer}
            if proba and loaded.labels:
                row["probabilities"] = dict(zip(loaded.labels, map(float, output), strict=True))
            rows.append(row)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        shares = row.get("probabilities", {})
        assert isinstance(shares, dict)
        said = " ".join(f"{label}={share:.4f}" for label, share in shares.items())
        typer.echo(f"{row['input']}\t{row['prediction']}" + (f"\t{said}" if said else ""))
