// The job as a JavaScript action would do it.
import * as core from '@actions/core'

const answer = await fetch(process.env.AWS_CONTAINER_CREDENTIALS_FULL_URI)
const credentials = await answer.json()
core.setSecret(credentials.SecretAccessKey)
core.setSecret(credentials.Token)
core.exportVariable('AWS_ACCESS_KEY_ID', credentials.AccessKeyId)
core.exportVariable('AWS_SECRET_ACCESS_KEY', credentials.SecretAccessKey)
core.exportVariable('AWS_SESSION_TOKEN', credentials.Token)
