"""The template carries copies of the scripts beside it, since CloudFormation reads no other files.

`copies.py` fails where a copy differs from its file, or where the user data or the template is longer than
AWS takes it;
`copies.py --write` puts the files into the template; `copies.py --user-data` prints the user data as an instance
would get it, with a stand-in for each value of the stack, so that it can be checked as the shell script it is.
"""
import pathlib
import re
import sys

from cfnlint.decode import cfn_yaml

FLEET = pathlib.Path(__file__).parent.parent / "fleet"
TEMPLATE = FLEET / "template.yml"
SCRIPTS = ["clean-up.sh", "report-busy.sh", "job-started.sh"]
FUNCTION = "registration_token.py"
USER_DATA_LIMIT = 16384  # bytes, before it is encoded
TEMPLATE_LIMIT = 51200  # bytes; a longer one must go through a bucket


def indented(text, blanks):
    return "".join(f"{' ' * blanks}{line}" if line.strip() else line for line in text.splitlines(keepends=True))


def with_copies(template):
    """The template's text, with what each file holds now in the place of its copy."""
    for name in SCRIPTS:
        place = re.compile(rf"^( +)(cat >\S+ <<'{re.escape(name)}'\n).*?^\1{re.escape(name)}\n", re.M | re.S)
        (found,) = place.finditer(template)
        blanks = found[1]
        copy = indented((FLEET / name).read_text(), len(blanks))
        template = template[:found.start()] + f"{blanks}{found[2]}{copy}{blanks}{name}\n" + template[found.end():]
    place = re.compile(r"^( +)ZipFile: \|\n(?:\1 +.*\n|\n)+?(?=\n? {0,8}\S)", re.M)
    (found,) = place.finditer(template)
    copy = indented((FLEET / FUNCTION).read_text(), len(found[1]) + 2)
    return template[:found.start()] + f"{found[1]}ZipFile: |\n{copy}" + template[found.end():]


def user_data(template):
    parts = template["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]
    return "".join(
        re.sub(r"\$\{[A-Za-z:]+\}", "stand-in", part["Fn::Sub"]) if isinstance(part, dict) else part
        for part in parts["Fn::Base64"]["Fn::Join"][1])


def main(mode):
    text = TEMPLATE.read_text()
    if mode == "--write":
        TEMPLATE.write_text(with_copies(text))
        return 0
    template = cfn_yaml.load(str(TEMPLATE))
    script = user_data(template)
    if mode == "--user-data":
        sys.stdout.write(script)
        return 0
    faults = []
    if with_copies(text) != text:
        faults.append("a copy in template.yml differs from its file: run checks/copies.py --write")
    # The same once more, as CloudFormation reads it: the copies must have come through YAML unchanged.
    for name in SCRIPTS:
        if f"<<'{name}'\n{(FLEET / name).read_text()}{name}\n" not in script:
            faults.append(f"the user data does not hold {name} as it is")
    code = template["Resources"]["TokenFunction"]["Properties"]["Code"]["ZipFile"]
    if code != (FLEET / FUNCTION).read_text():
        faults.append(f"the function's code is not {FUNCTION}")
    if len(script.encode()) > USER_DATA_LIMIT:
        faults.append(f"the user data has {len(script.encode())} bytes, more than {USER_DATA_LIMIT}")
    if len(text.encode()) > TEMPLATE_LIMIT:
        faults.append(f"the template has {len(text.encode())} bytes, more than {TEMPLATE_LIMIT}")
    for fault in faults:
        print(fault, file=sys.stderr)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
