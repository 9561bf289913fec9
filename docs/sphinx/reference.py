"""The reference of every operation of the API as pages that read offline: ``reference.py FOLDER``.

The same Swagger UI as the API serves, with the schema beside it in a script: a browser loads no data into a
page that it has from a folder.
"""

import json
import shutil
import sys
from pathlib import Path

import fastapi_offline

from api.app import create_app
from runtime.settings import Settings

ASSETS = Path(fastapi_offline.__file__).parent / "static"
START = """SwaggerUIBundle({
  spec: SCHEMA,
  dom_id: "#swagger-ui",
  deepLinking: true,
  supportedSubmitMethods: [],
  validatorUrl: null,
});
"""


def main(folder: Path) -> None:
    """Write the pages."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        shutil.copy(ASSETS / name, folder / name)
    shutil.copy(Path(__file__).with_name("reference.html"), folder / "index.html")
    schema = json.dumps(create_app(Settings()).openapi(), ensure_ascii=False)
    (folder / "schema.js").write_text(f"const SCHEMA = {schema};\n")
    (folder / "start.js").write_text(START)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
