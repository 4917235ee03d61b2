"""What a user's species are called: names.csv beside the photos' species folders, or in the run's folder.

One row a folder: folder, japanese, scientific, english; the last three may be empty. Names that are not given are the
paper's, where it knows the species, else the folder's.
"""

from pathlib import Path

from fishlib.errors import UserError
from fishlib.files import reads
from fishlib.files.frames import read_table
from fishlib.study import Study

FILE = "names.csv"
LANGUAGES = {"japanese": "ja", "scientific": "scientific", "english": "en"}  # column -> as in species.LANGUAGES


def read(study: Study) -> dict[str, dict[str, str]]:
    """Folder -> language -> name, as species.use takes them; {} without the file. UserError names the file and row."""
    path = file(study)
    if not path.is_file():
        return {}
    table = read_table(path, ["folder"], optional=LANGUAGES)
    given = {}
    for number, row in zip(table.index, table.to_dict("records"), strict=True):
        folder = row["folder"]
        if not folder:
            raise UserError(f"{path}, row {number}, names no folder; the first column is the species' folder.")
        if folder in given:
            raise UserError(f"{path}, row {number}, names the folder {folder} a second time; keep one row of it.")
        given[folder] = {lang: row[column] for column, lang in LANGUAGES.items() if row[column]}
    return given


def file(study: Study) -> Path:
    """names.csv of the run, else the one beside the photos' species folders; it may not be there."""
    own = study.out / FILE
    return own if reads.looked_for(own).exists() else reads.looked_for(study.photos / FILE)
