# The step that people write today.
set -eu
credentials=$(curl -fsS "$AWS_CONTAINER_CREDENTIALS_FULL_URI")
secret=$(echo "$credentials" | jq -r .SecretAccessKey)
token=$(echo "$credentials" | jq -r .Token)
echo "::add-mask::$secret"
echo "::add-mask::$token"
{
    echo "AWS_ACCESS_KEY_ID=$(echo "$credentials" | jq -r .AccessKeyId)"
    echo "AWS_SECRET_ACCESS_KEY=$secret"
    echo "AWS_SESSION_TOKEN=$token"
} >>"$GITHUB_ENV"
